"""Several processes that train together; the tests start them.

python worker.py FOLDER STAGE...

A stage is for example 2:exact,resume+3:exact: two processes with two tasks, and three with one.
"""

import json
import os
import runpy
import signal
import sys
import time
import traceback
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from processes import cases
from sknca import SNNLEmbedding
from sknca.data import SharedBatches
from sknca.distributed import gather, part_of, soft_nearest_neighbor_loss, together
from sknca.functional import soft_nearest_neighbor_loss as loss_of_one

RANK, SIZE, FOLDER = 0, 1, Path()  # of this process; see the end

BATCHES = []


def recorded(self, draw=SharedBatches.__call__):
    places, sizes = draw(self)
    BATCHES.append([place.numpy() for place in places])
    return places, sizes


def save(name, **arrays):
    np.savez(FOLDER / f"{name}-{SIZE}-{RANK}.npz", **arrays)


def of_network(embedding):
    tensors = embedding._objective.state_dict()
    return {f"p.{name}": tensor.numpy() for name, tensor in tensors.items()}


def fit(name, **more):
    X, y, given = cases.data(name)
    part = cases.parts(name, SIZE)[RANK]
    given = {key: value[part] for key, value in given.items()}
    return cases.make(name).set_params(**more).fit(X[part], y[part], **given)


def exact():
    for name in cases.ALL if SIZE == 2 else cases.OF_THREE:
        BATCHES.clear()
        embedding = fit(name)
        lengths = [len(batch) for batches in BATCHES for batch in batches]
        save(
            name,
            loss=embedding.loss_curve_,
            codes=embedding.transform(cases.data(name)[0]),
            batches=np.concatenate([batch for batches in BATCHES for batch in batches]),
            lengths=np.reshape(lengths, (len(BATCHES), -1)),
            rank=RANK,
            oob_member=getattr(embedding, "oob_member_", []),
            oob_probabilities=getattr(embedding, "oob_decision_function_", []),
            **of_network(embedding),
        )


def agree():
    """What must be the same in all processes, but is not exactly that of one."""
    X, y, _ = cases.data("")
    part = part_of(len(X))
    early = cases.make("early_stopping").set_params(random_state=None, dropout=0.2, tol=1e-9)
    early.fit(X[part], y[part])
    save("early", curve=early.validation_loss_curve_, **of_network(early))
    mine = slice(300 * (RANK == 0))  # the others have nothing to hold out
    early.fit(X[mine], y[mine])
    save("early_by_one", curve=early.validation_loss_curve_, **of_network(early))
    validated = cases.make("").fit(X[part], y[part], X_val=X[part][:50], y_val=y[part][:50])
    save("validated", curve=validated.validation_loss_curve_, **of_network(validated))
    few = slice(50 * (RANK == 0))
    by_one = cases.make("").fit(X[part], y[part], X_val=X[part][few], y_val=y[part][few])
    save("validated_by_one", curve=by_one.validation_loss_curve_, **of_network(by_one))
    X, y = np.tile(X, (4, 1)), np.tile(y, 4)
    part = part_of(len(X))
    watched = SNNLEmbedding(4, hidden_layer_sizes=(16,), max_iter=20, random_state=0, device="cpu")
    watched.fit(X[part], y[part])
    save("watched", overfits=watched.overfits_, curve=watched.loss_curve_, **of_network(watched))


def refuse():
    """Errors that all processes raise, after which they go on."""
    X, y, _ = cases.data("")
    part = part_of(len(X))
    X, y = X[part], y[part]
    last = RANK == SIZE - 1
    bad_X = X.copy()
    bad_X[3, 3] = np.nan
    norm = torch.nn.Sequential(torch.nn.Linear(64, 4), torch.nn.BatchNorm1d(4))
    attempts = {
        "parameters": lambda: fit("", learning_rate_init=0.01 if last else 0.02),
        "features": lambda: cases.make("").fit(X[:, : 63 if last else 64], y),
        "dtype": lambda: cases.make("").fit(X.astype(np.float32 if last else np.float64), y),
        "weights": lambda: cases.make("").fit(X, y, np.ones(len(X)) if last else None),
        "labels": lambda: cases.make("").fit(X, y.astype(str) if last else y),
        "no samples": lambda: cases.make("").fit(X[:0], y[:0]),
        "one sample": lambda: cases.make("").fit(X[: RANK == 0], y[: RANK == 0]),
        "no X_val": lambda: cases.make("").fit(X, y, X_val=X[:0], y_val=y[:0]),
        "no weight": lambda: cases.make("").fit(X, y, np.zeros(len(X))),
        "nan": lambda: cases.make("").fit(bad_X if last else X, y),
        "one class": lambda: cases.make("").fit(X, y * 0),
        "spread": lambda: cases.make("").set_params(unlabeled=3).fit(X, y),
        "sparse": lambda: cases.make("").fit(sparse.csr_array(X), y),
        "partial_fit": lambda: cases.make("").partial_fit(X, y),
        "random": lambda: cases.make("triplets").set_params(mining="random").fit(X, y),
        "batch norm": lambda: fit("", encoder=norm, n_components=None),
        "diverged": lambda: fit("", learning_rate_init=1e30),
    }
    save_errors(attempts)


def refuse_others():
    save_errors({"another number": lambda: fit_in_file("whole", 1)})


def save_errors(attempts):
    errors = {}
    for name, attempt in attempts.items():
        try:
            attempt()
        except Exception as error:
            errors[name] = f"{type(error).__name__}: {error}"
    (FOLDER / f"errors-{SIZE}-{RANK}.json").write_text(json.dumps(errors))


def fit_in_file(name, epochs, callbacks=(), **more):
    X, y, _ = cases.data("")
    part = part_of(len(X))
    embedding = cases.make("").set_params(dropout=0.2, early_stopping=False, **more)
    if callbacks:
        embedding.set_callbacks(*callbacks)
    return embedding.fit(X[part], y[part], checkpoint=FOLDER / name)


class AfterEpoch:
    """A callback that does something after an epoch, in some processes."""

    def __init__(self, epoch, action, ranks):
        self.epoch, self.action, self.ranks = epoch, action, ranks
        self.n = 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **_):
        pass

    def on_fit_task_end(self, estimator, context, **_):
        if context.task_name == "epoch":
            self.n += 1
            if self.n == self.epoch and RANK in self.ranks:
                return self.action()
        return False


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    return False


def resume():
    """Interrupted in one process, and continued, the fit is that without an interruption."""
    whole = fit_in_file("whole", 1)
    try:
        fit_in_file("part", 1, [AfterEpoch(1, interrupt, [SIZE - 1])])
        message = "no interruption"
    except KeyboardInterrupt as error:
        message = str(error)
    resumed = fit_in_file("part", 1)
    again = fit_in_file("part", 1)  # it is finished
    stopped = fit_in_file("stopped", 1, [AfterEpoch(2, lambda: True, [SIZE - 1])])
    for name, embedding in {"whole": whole, "resumed": resumed, "again": again}.items():
        save(name, message=message, n_iter=stopped.n_iter_, **of_network(embedding))
    fit("", verbose=2)


def functional():
    """The loss and its gradient, in one process with all rows and in all with their parts."""
    rng = np.random.default_rng(0)
    y = torch.tensor(rng.integers(0, 5, 700))
    y[y == 4] = RANK * 0 + 9
    y[5] = 17  # without a positive
    parts = [slice(0, 300), slice(300, 700)] if SIZE == 2 else [slice(0, 2)] * 0
    mine = parts[RANK]
    found = {}
    for metric in ("sqeuclidean", "euclidean", "cosine"):
        for weighted in (False, True):
            for q in (0.0, 0.7):
                z = torch.tensor(rng.normal(size=(700, 6)), dtype=torch.float32)
                weight = torch.tensor(rng.random(700), dtype=torch.float32) if weighted else None
                temperature = torch.tensor(0.7, requires_grad=True)
                one = z.clone().requires_grad_()
                how = {"metric": metric, "q": q}
                expected = loss_of_one(one, y, temperature, sample_weight=weight, **how)
                expected.backward()
                of_t, temperature.grad = temperature.grad, None
                own = z[mine].clone().requires_grad_()
                own_weight = None if weight is None else weight[mine]
                share = soft_nearest_neighbor_loss(
                    own, y[mine], temperature, sample_weight=own_weight, **how
                )
                share.backward()
                # As the user's loop would: the whole loss in each process, averaged.
                other = z[mine].clone().requires_grad_()
                weights = None if weight is None else gather(own_weight)
                whole = loss_of_one(
                    gather(other), gather(y[mine]), 0.7, sample_weight=weights, **how
                )
                whole.backward()
                # The plain one has lost the gradient of the rows of others.
                told = torch.stack([share.detach(), whole.detach(), temperature.grad])
                dist.all_reduce(told)
                name = f"{metric}-{weighted}-{q}"
                found[f"{name}.total"] = (told / SIZE).numpy()
                found[f"{name}.expected"] = torch.stack([expected, expected, of_t]).detach()
                found[f"{name}.gradients"] = torch.stack([own.grad, other.grad]) / SIZE
                found[f"{name}.gradient"] = one.grad[mine]
    # A process may have no rows.
    for rank in range(SIZE):
        for shape in ((3,), (2, 3), ()):
            rows = torch.ones(4 * (rank == RANK), *shape, requires_grad=True)
            gathered = gather(rows)
            (gathered.sum() / SIZE).backward()
            found[f"none.{rank}.{len(shape)}"] = [
                gathered.shape == (4, *shape),
                rows.grad.shape == rows.shape and bool((rows.grad == 1).all()),
                gather(rows.detach().long()).shape == (4, *shape),
            ]
    found["none at all"] = [gather(torch.ones(0, 3)).shape == (0, 3)]
    # A user's loop, by torch's own averaging.
    torch.manual_seed(0)
    one, network = torch.nn.Linear(6, 3), torch.nn.Linear(6, 3)
    network.load_state_dict(one.state_dict())
    averaged = DistributedDataParallel(network)
    x = torch.tensor(rng.normal(size=(700, 6)), dtype=torch.float32)
    loss_of_one(one(x), y).backward()
    soft_nearest_neighbor_loss(averaged(x[mine]), y[mine]).backward()
    found |= {"ddp": network.weight.grad, "ddp.expected": one.weight.grad}
    save("functional", **found)


def example():
    """The example, without a failure."""
    example = Path(__file__).parents[2] / "examples" / "distributed" / "train.py"
    sys.argv = [str(example), "--max-iter=3", f"--codes={FOLDER / 'example.npy'}"]
    runpy.run_path(str(example), run_name="__main__")


def die():
    fit_in_file("dying", 1, [AfterEpoch(2, lambda: os.kill(os.getpid(), signal.SIGKILL), [1])])


def go_on():
    """The same fit, started again."""
    save("went_on", **of_network(fit_in_file("dying", 1)))


def fail():
    """A process raises within a step, and does not end."""
    rows = []

    def failing(self, rank=RANK, draw=SharedBatches.__call__):
        places, sizes = draw(self)
        rows.append(0)
        if rank == 1 and len(rows) == 2:
            places[-1] = places[-1] + 10**6
        return places, sizes

    SharedBatches.__call__ = failing
    try:
        fit("")
    except Exception as error:
        if RANK != 1:
            (FOLDER / "fail-0.txt").write_text("")
            raise
        (FOLDER / "fail-1.txt").write_text(f"{type(error).__name__}: {error}")
        end = time.monotonic() + 30
        while time.monotonic() < end and not (FOLDER / "fail-0.txt").exists():
            time.sleep(0.1)


def run(size, rank, tasks):
    """Be one of the processes."""
    global RANK, SIZE
    RANK, SIZE = rank, size
    name = f"{'-'.join(tasks)}-{size}"
    with open(FOLDER / f"{name}-{rank}.out", "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    SharedBatches.__call__ = recorded
    dist.init_process_group(
        "gloo",
        init_method=f"file://{FOLDER}/{name}.store",
        rank=RANK,
        world_size=SIZE,
        timeout=timedelta(seconds=10),
    )
    with together():
        for task in tasks:
            start = time.monotonic()
            globals()[task]()
            print(task, f"{time.monotonic() - start:.1f} s", flush=True)
    dist.destroy_process_group()


def fork(size, rank, tasks):
    """Forked, because to import torch takes longer than most of the fits."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        run(size, rank, tasks)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    torch.set_num_threads(1)
    for stage in sys.argv[2:]:  # one after the other
        running = {}
        for group in stage.split("+"):  # at the same time
            size, tasks = group.split(":")
            for rank in range(int(size)):
                running[f"{group}:{rank}"] = fork(int(size), rank, tasks.split(","))
        for name, process in running.items():
            status = os.waitpid(process, 0)[1]
            code = os.waitstatus_to_exitcode(status)
            with open(FOLDER / "codes.txt", "a") as file:
                file.write(f"{name}:{code}\n")
