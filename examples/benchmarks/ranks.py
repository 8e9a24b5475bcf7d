"""Several processes that train one embedding on this machine: what a step takes.

python examples/benchmarks/ranks.py [--processes 1 2 3] [--steps 60] [--predict]

Each process has one thread. The table has 64 features and 10 classes. The encoder is the default
one (256, 256), with 32 components. Adversarial steps are switched off, so that all steps are alike.

- Strong scaling: the same global batch (768), divided among the processes.
- Weak scaling: 256 samples in each process.

Then the parts of a step: the messages alone, of the sizes that a step sends, and the loss of a part
of 256 samples among 256 to 16384. From these constants docs/scaling.md predicts larger machines.
"""

import argparse
import os
import subprocess
import sys
import time

FEATURES, COMPONENTS = 64, 32


def table(n, seed):
    import numpy as np

    rng = np.random.default_rng(seed)
    y = rng.integers(0, 10, n)
    centers = np.random.default_rng(0).normal(size=(10, FEATURES))
    return (centers[y] + 2 * rng.normal(size=(n, FEATURES))).astype(np.float32), y


def median_of(function, n):
    import numpy as np

    seconds = []
    for _ in range(n):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def child(n_steps):
    import resource

    import torch
    from torch import distributed as dist

    from sknca import SNNLEmbedding
    from sknca.distributed import gather, together
    from sknca.functional import soft_nearest_neighbor_loss

    torch.set_num_threads(1)
    with together():
        size = int(os.environ["WORLD_SIZE"])
        rank = int(os.environ["RANK"])
        for kind, batch in (("strong", 768 // size), ("weak", 256)):
            X, y = table(batch * n_steps, rank)
            embedding = SNNLEmbedding(
                COMPONENTS,
                max_iter=3,
                batch_size=batch,
                adversarial_radius=0,
                early_stopping=False,
                random_state=0,
                device="cpu",
            )
            ends = []

            class Clock:
                def setup(self, estimator, context): ...
                def teardown(self, estimator, context): ...
                def on_fit_task_begin(self, estimator, context): ...
                def on_fit_task_end(self, estimator, context, ends=ends):
                    ends.append(time.perf_counter())

            embedding.set_callbacks(Clock()).fit(X, y)
            step = min(ends[1] - ends[0], ends[2] - ends[1]) / n_steps
            if rank == 0:
                print(
                    f"{kind:6s} {size} processes x {batch:4d} samples  {1e3 * step:6.2f} ms a step "
                    f"{size * batch / step:9.0f} samples/s"
                )
        parameters = torch.zeros(sum(p.numel() for p in embedding.network_.parameters()))
        if rank == 0:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            print(f"parameters {len(parameters)}, largest memory of a process {memory:.0f} MiB")
        if size > 1:
            codes = torch.randn(256, COMPONENTS, requires_grad=True)

            def there_and_back():
                gather(codes).sum().backward()

            seconds = {
                "codes to all, gradients back": median_of(there_and_back, 100),
                "average of the parameters": median_of(lambda: dist.all_reduce(parameters), 100),
                "empty message": median_of(lambda: dist.all_reduce(torch.zeros(1)), 100),
            }
            for name, some in seconds.items():
                if rank == 0:
                    print(f"  {name:30s} {1e3 * some:7.2f} ms")
        if size == 1:
            for n in (256, 1024, 4096, 16384):
                keys = torch.randn(n, COMPONENTS)
                labels = torch.randint(10, (n,))

                def share(keys=keys, labels=labels):
                    some = keys.clone().requires_grad_()
                    loss = soft_nearest_neighbor_loss(
                        some[:256],
                        labels[:256],
                        neighbors=some,
                        neighbor_labels=labels,
                        first_neighbor=0,
                    )
                    loss.backward()

                seconds = median_of(share, 20)
                pairs = 256 * n * COMPONENTS
                print(
                    f"  share of 256 samples among {n:5d}  {1e3 * seconds:7.2f} ms  "
                    f"{1e9 * seconds / pairs:.3f} ns for each pair and component"
                )


def predict(n, features, processes, batch, step, bandwidth):
    """What the formulas of docs/scaling.md give for a large machine."""
    from sknca.training import epochs_for

    p = 256 * (features + 1) + 256 * 257 + COMPONENTS * 257 + COMPONENTS * features
    everyone = processes * batch
    n_steps = n / everyone
    sent = everyone * (4 * COMPONENTS + 12) + everyone * 4 * COMPONENTS + 8 * p
    print(f"{n:.0e} samples, {features} features, {processes} processes x {batch} samples")
    print(
        f"  parameters {p}, steps in an epoch {n_steps:.0f}, epochs {epochs_for(n, everyone, 55)}"
    )
    print(f"  operations of a process in a step: encoder {6 * batch * p:.1e}", end=", ")
    print(f"loss {6 * batch * everyone * COMPONENTS:.1e}")
    print(f"  the loss takes as long as the encoder from {p / COMPONENTS:.0f} samples on")
    print(f"  sent in a step {sent / 1e6:.1f} MB, {1e3 * sent / bandwidth:.2f} ms", end=" ")
    print(f"at {bandwidth / 1e9:.0f} GB/s")
    print(f"  an epoch takes {n_steps * step:.0f} s with steps of {1e3 * step:.0f} ms")
    print(f"  samples {4e-9 * n * features:.0f} GB, {4e-9 * n * features / processes:.0f} GB each")
    print(f"  random rows read by a process {batch / step:.0f} in a second")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--predict", action="store_true", help="only what the formulas predict")
    arguments = parser.parse_args()
    if arguments.predict:
        predict(10**9, 128, 64, 256, step=3e-3, bandwidth=25e9)
        return
    print(f"{os.cpu_count()} cores")
    for size in arguments.processes:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
        environment |= {"MASTER_PORT": "29571", "WORLD_SIZE": str(size)}
        children = [
            subprocess.Popen(
                [sys.executable, __file__, "--child", str(arguments.steps)],
                env=environment | {"RANK": str(rank)},
            )
            for rank in range(size)
        ]
        for process in children:
            if process.wait():
                raise SystemExit(f"A process ended with code {process.returncode}.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(int(sys.argv[2]))
    else:
        main()
