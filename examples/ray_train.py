"""Train inside Ray Train's workers with fieldloom's loader, unchanged.

    pip install "fieldloom[ray]"
    python examples/ray_train.py --workers 2

Ray Train has initialized torch.distributed when the workers' function runs, so the loader finds its rank by
itself. The checkpoint that rank 0 reports holds the loader's state: after a failure, Ray starts the workers
again and they go on with exactly the next batch.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

SIDE = 24


def train_loop(config: dict[str, Any]) -> None:
    """What each worker runs."""
    import numpy as np
    import ray.train
    import torch
    import torch.distributed as dist
    from ray.train.torch import prepare_model

    import fieldloom as fl
    from fieldloom.perf.photos import draw_photo

    n = config["images"]
    data = np.stack([draw_photo(i, SIDE, SIDE) for i in range(n)]), np.arange(n) % 8
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(16, 8),
    )  # fmt: skip
    model = prepare_model(network)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    recipe = [fl.RandomCrop(padding=3), fl.HorizontalFlip(), fl.Normalize()]
    loader = fl.DataLoader(
        data,
        config["batch_size"],
        size=SIDE,
        augment=recipe,
        shuffle=True,
        drop_last=True,
        threads=1,
        device="cpu",
    )
    context = ray.train.get_context()
    assert (loader.rank.index, loader.rank.world) == (context.get_world_rank(), context.get_world_size())
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder) / "state.pt", weights_only=True)
        network.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        loader.load_state_dict(state["loader"])
    while loader.epoch < config["epochs"]:
        epoch, seen = loader.epoch, []
        for step, batch in enumerate(loader):
            loss = torch.nn.functional.cross_entropy(model(batch.images), batch.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += batch.ids.tolist()
            if checkpoint is None and (epoch, step) == config["fail_at"]:
                raise RuntimeError("a worker fails, on purpose")
            if step == config["save_at"]:
                report(network, optimizer, loader, {"epoch": epoch, "step": batch.index})
        parts: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(parts, seen)
        every = [i for part in parts for i in part]
        assert len(set(every)) == len(every), "two ranks have met the same sample"
        assert len({len(part) for part in parts}) == 1, "steps differ"
        report(network, optimizer, loader, {"epoch": epoch, "ranks": len(parts), "samples": len(every)})
    loader.close()


def report(network: Any, optimizer: Any, loader: Any, metrics: dict[str, int]) -> None:
    """Tell Ray how far it is; rank 0 hands the checkpoint over."""
    import ray.train
    import torch

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = None
        if loader.rank.index == 0:
            state = {"model": network.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"loader": loader.state_dict()}, Path(folder) / "state.pt")
            checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report(metrics, checkpoint=checkpoint)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """The command line; returns the last metrics."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=8, help="of each worker")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--fail", action="store_true", help="let the workers fail once, behind a checkpoint")
    options = parser.parse_args(arguments)
    os.environ.setdefault(
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
    )  # the coming default, without its warning
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    ray.init(num_cpus=options.workers, include_dashboard=False, configure_logging=False)
    config = {
        "images": options.images, "batch_size": options.batch_size, "epochs": options.epochs, "save_at": 1,
        "fail_at": (0, 3) if options.fail else None,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = TorchTrainer(
            train_loop,
            train_loop_config=config,
            scaling_config=ScalingConfig(num_workers=options.workers, use_gpu=False),
            run_config=RunConfig(storage_path=folder, failure_config=FailureConfig(max_failures=1)),
        )
        metrics = dict(trainer.fit().metrics or {})
    ray.shutdown()
    print(f"epoch {metrics['epoch']}: {metrics['ranks']} ranks, {metrics['samples']} different samples")
    return metrics


if __name__ == "__main__":
    main()
