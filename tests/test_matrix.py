"""The matrix of what a loader meets: each row names the tests that hold it, and those tests exist."""

import ast
import functools
from pathlib import Path

import pytest

HERE = Path(__file__).parent

#: Row -> tests, as "file::function" without "tests/test_" and ".py".
LOAD = {
    "10 M samples in the plan: time is measured, memory asserted": [
        "epoch::test_millions_of_samples",
        "packed_start::test_memory",
    ],
    "1000 epochs of 100 samples; 200 epochs over files and arrays": [
        "matrix_load::test_hundreds_of_epochs_without_growth",
    ],
    "slow and fast consumers": [
        "matrix_load::test_slow_and_fast_consumers_get_the_same",
        "lifecycle::test_a_slow_consumer_does_not_make_the_loader_run_ahead",
    ],
    "batch sizes 1, 2, 3, 7, 256 with 0, 1, n-1, n, n+1 samples": [
        "matrix_load::test_batch_sizes_and_data_sets_in_memory",
        "matrix_load::test_batch_sizes_and_data_sets_of_files",
    ],
    "mixed image sizes 1x1 to 8192x8192": ["matrix_load::test_images_from_1x1_to_8192x8192_in_one_batch"],
    "train and validation loaders together for 50 epochs": [
        "lifecycle::test_training_and_validation_for_50_epochs",
        "lifecycle::test_two_loaders_alive_together",
    ],
    "100 times create, take 3 batches, drop": [
        "lifecycle::test_a_hundred_loaders",
        "lifecycle::test_create_take_drop",
    ],
    "world sizes 1, 2, 3, 8, and resume on another": [
        "resume::test_ranks_share_the_plan_in_equal_steps",
        "resume::test_a_state_moves_to_another_world_size",
        "promises::test_worlds",
    ],
    "state at every batch of two epochs, resumed twice": [
        "resume::test_every_batch_can_be_resumed_twice",
        "promises::test_resume",
    ],
    "10 000 bad samples in a row with flat memory": [
        "matrix_load::test_ten_thousand_bad_samples_in_a_row",
        "bad_samples::test_thousands_of_bad_samples_in_flat_memory",
    ],
}  # fmt: skip
FAULTS = {
    "SIGKILL, SIGSTOP, OOM of a worker process: there is none": [
        "matrix_faults::test_a_killed_process_leaves_nothing_behind",
    ],
    "SIGKILL of the parent: no child, no shared memory left": [
        "matrix_faults::test_a_killed_process_leaves_nothing_behind",
    ],
    "a thread that dies": [
        "watchdog::test_a_producing_thread_that_dies_is_noticed",
        "watchdog::test_a_reading_thread_that_dies_is_noticed",
        "watchdog::test_an_exception_sent_to_the_producing_thread",
    ],
    "Ctrl-C once": ["lifecycle::test_ctrl_c", "watchdog::test_a_process_whose_source_hangs_ends"],
    "Ctrl-C twice": ["matrix_faults::test_ctrl_c_twice"],
    "break": ["loader::test_break_and_start_again", "lifecycle::test_create_take_drop"],
    "del": ["lifecycle::test_collected_without_close", "watchdog::test_a_loader_that_hangs_can_be_left"],
    "an exception in the loop": [
        "lifecycle::test_an_exception_in_the_loop",
        "loader::test_context_manager_closes_on_errors",
    ],
    "exit with a live iterator": [
        "lifecycle::test_interpreter_exit_with_a_live_iterator",
        "lifecycle::test_interpreter_exit_by_an_exception",
    ],
    "exit while kernels compile": ["watchdog::test_exit_while_kernels_compile"],
    "fork": ["loader::test_fork", "decode::test_a_forked_child_is_refused_and_can_end"],
    "spawn": ["matrix_faults::test_a_loader_in_a_spawned_process"],
    "a hook that raises": [
        "bad_samples::test_a_bug_in_a_source_surfaces_unchanged",
        "bad_samples::test_stop_iteration_does_not_end_the_epoch",
        "bad_samples::test_bad_samples_of_a_custom_source",
    ],
    "a hook that loops or waits for ever": [
        "watchdog::test_the_sample_in_hand_is_named_and_the_loader_goes_on",
        "watchdog::test_a_stand_in_that_hangs_is_named",
        "watchdog::test_a_process_whose_source_hangs_ends",
        "watchdog::test_a_new_epoch_leaves_threads_that_hang_behind",
        "watchdog::test_a_new_epoch_behind_a_producing_thread_that_hangs_is_refused_by_name",
    ],
    "a stage of ours that hangs": ["watchdog::test_stages_of_our_own_are_named"],
    "a hook that returns a wrong shape": [
        "bad_samples::test_a_source_that_returns_something_else",
        "bad_samples::test_a_source_that_returns_other_pixels",
    ],
    "a hook that returns NaN": [
        "matrix_faults::test_a_hook_that_gives_a_wrong_target",
        "matrix_faults::test_rows_of_targets_that_are_no_numbers",
    ],
    "ulimit -n 64": [
        "lifecycle::test_few_descriptors",
        "shards::test_forty_shards_under_a_limit_of_64_descriptors",
    ],
    "a file deleted or truncated during the epoch": [
        "bad_samples::test_file_deleted_or_truncated_during_the_epoch",
        "shards::test_a_shard_cut_during_the_epoch_is_an_error_and_no_crash",
        "packed_faults::test_a_file_cut_during_the_epoch",
    ],
    "no CUDA, an old driver": [
        "device::test_a_gpu_that_is_not_there",
        "device::test_without_cuda",
        "device::test_a_gpu_of_which_something_is_missing",
    ],
    "a kernel cache that is corrupt or cannot be written": [
        "matrix_faults::test_a_damaged_kernel_cache_is_compiled_anew",
        "matrix_faults::test_a_cache_that_cannot_be_written",
    ],
    "two ranks compiling at once": ["matrix_faults::test_two_processes_that_compile_at_once"],
    "a saved state with one field changed": [
        "resume::test_a_changed_field_is_named",
        "matrix_faults::test_a_state_beyond_its_epoch_is_refused",
    ],
    "a saved state with one bit flipped": ["matrix_faults::test_a_state_with_any_bit_flipped_is_refused"],
    "a saved state that is truncated": [
        "matrix_faults::test_a_state_cut_anywhere_is_refused",
        "resume::test_files_hold_a_state",
    ],
    "a saved state of a newer version": ["matrix_faults::test_a_state_of_a_newer_version_says_so"],
    "20 000 damaged files (make fuzz), some 150 here": [
        "fuzz::test_a_small_campaign_is_clean",
        "fuzz::test_what_kills_or_holds_a_child_is_found_and_kept",
    ],
}  # fmt: skip
FILES = {
    "empty; text named .jpg; a JPEG cut at 1, 20, 50, 99 %": [
        "bad_samples::test_raise_names_it_and_goes_on",
        "header::test_cut_files_are_refused_here",
        "header::test_what_is_not_an_image",
    ],
    "wrong extension": ["header::test_wrong_extension_does_not_matter"],
    "CMYK, gray, gray + alpha, palette, 1-bit, RGBA, 16-bit, animated, progressive": [
        "bad_samples::test_odd_images_have_defined_results",
        "header::test_formats",
    ],
    "a damaged animation": ["header::test_a_damaged_animated_png_is_an_error"],
    "EXIF 1-8": [
        "header::test_sizes_are_in_display_orientation",
        "exif::test_each_orientation",
        "outside::test_orientation",
    ],
    "1x1, 1x8192": [
        "header::test_extreme_sizes",
        "bad_samples::test_tiny_and_long_images",
        "matrix_load::test_images_from_1x1_to_8192x8192_in_one_batch",
    ],
    "header 0x0 and 30000x30000": [
        "header::test_no_pixels",
        "header::test_bombs",
        "header::test_bomb_in_a_format_outside_dali",
    ],
    "unsupported formats": [
        "header::test_what_is_not_an_image",
        "outside::test_formats_that_start_programs_are_not_opened",
    ],
}  # fmt: skip
FOLDERS = {
    "missing": ["sources::test_missing_folder"],
    "a file": ["sources::test_file_instead_of_folder"],
    "empty": ["sources::test_empty_folder"],
    "class folder without images": [
        "sources::test_class_without_images",
        "sources::test_images_without_class_folders",
    ],
    "FIFO, socket, device": [
        "sources::test_image_that_is_not_a_file",
        "sources::test_read_fifo_does_not_wait",
        "sources::test_read_socket_folder_and_device",
        "bad_samples::test_a_fifo_is_never_skipped",
    ],
    "symlink loop": ["sources::test_link_loops_end", "sources::test_class_that_links_back"],
    "no permission": ["sources::test_folder_without_permission", "sources::test_read_failure_of_one_file"],
    "names not UTF-8, with a newline, 255 bytes long": [
        "sources::test_odd_names",
        "bad_samples::test_log_with_odd_file_names",
    ],
    "hidden files": ["sources::test_hidden_and_other_files_are_left_out"],
    "twins": ["sources::test_twins_are_samples_of_their_own"],
    "shards cut at a boundary, in a header, in data; zeroed header; ../x": [
        "shards::test_shards_that_cannot_be_used",
        "fuzz::test_a_small_campaign_is_clean",
    ],
    "shards with duplicate names": ["shards::test_duplicates_are_refused"],
    "shards: image without label, label without image": [
        "shards::test_what_lacks_something_is_named_or_left_out",
    ],
}  # fmt: skip
LABELS = {
    "-1, = n classes, 1e9, 1.5, NaN, text": [
        "arguments::test_labels",
        "sources::test_bad_label_is_named",
        "sources::test_bad_label_in_a_list",
        "sources::test_bad_label_of_an_image",
    ],
    "-1 as uint8": ["sources::test_minus_one_in_an_unsigned_column"],
    "in manifests": ["manifest::test_bad_labels", "manifest::test_bad_labels_in_parquet"],
    "in shards": ["shards::test_labels_that_are_no_class", "shards::test_labels_out_of_range"],
}  # fmt: skip
ARGUMENTS = {
    "batch_size 0, -1, 1.5, '32', True; threads 0; seed -1, 2**64": ["arguments::test_options_of_the_loader"],
    "unknown option (did you mean ...)": ["loader::test_unknown_option"],
    "device cuda:99": ["arguments::test_devices_that_are_not_there"],
    "rank >= world": ["resume::test_wrong_ranks_are_refused"],
    "length scale 0, NaN": [
        "arguments::test_options_of_augmentations",
        "laws::test_wrong_arguments_are_named",
    ],
    "mixing alpha 0, negative": [
        "mixing_arguments::test_shared_options",
        "mixing_arguments::test_own_options",
    ],
    "a selection out of range, empty": ["selection::test_bad_ids", "selection::test_nothing_to_select_from"],
    "a selection repeated": [
        "selection::test_repeats_are_delivered_repeatedly",
        "selection::test_too_many_repeats",
    ],
    "NaN weights": ["selection::test_bad_weights"],
}  # fmt: skip
STATES = {
    "iter() twice; two iterators at once": ["loader::test_two_iterators_at_once"],
    "next after the end": ["loader::test_next_after_the_end"],
    "next after close": ["loader::test_next_after_close", "loader::test_close"],
    "len() with skip and selection": ["matrix_load::test_len_with_skip_and_selection"],
    "state_dict at the start, at the end": ["resume::test_states_at_the_ends"],
    "loader pickled": ["loader::test_pickle_and_copy"],
    "loader forked": ["loader::test_fork"],
    "import without GPU, DALI, CuPy": [
        "import_cost::test_import_works_where_nothing_heavy_is_installed",
        "import_cost::test_import_loads_nothing_heavy",
    ],
}  # fmt: skip
MATRIX = {
    "load": LOAD, "faults": FAULTS, "files": FILES, "folders": FOLDERS, "labels": LABELS,
    "arguments": ARGUMENTS, "states": STATES,
}  # fmt: skip
ROWS = [(part, row) for part, rows in MATRIX.items() for row in rows]


@functools.cache
def functions_of(file: str) -> frozenset[str]:
    """Names of the test functions of a file, or of the files that it was split into ("shards_...")."""
    paths = [*HERE.glob(f"test_{file}.py"), *HERE.glob(f"test_{file}_*.py")]
    nodes = [node for path in paths for node in ast.parse(path.read_text(encoding="utf-8")).body]
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize(("part", "row"), ROWS)
def test_the_row_is_held(part: str, row: str) -> None:
    held = MATRIX[part][row]
    assert held
    for name in held:
        file, _, function = name.partition("::")
        assert function in functions_of(file), f"{part}, {row!r}: there is no {name}"


def test_a_missing_test_would_be_noticed() -> None:
    assert "test_close" in functions_of("loader")
    assert "test_that_is_not_there" not in functions_of("loader")
    assert not functions_of("no_such_file")
