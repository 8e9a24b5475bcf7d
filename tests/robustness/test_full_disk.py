"""Files that cannot be written: the one that was there stays whole, and the error says why."""

import multiprocessing
import os
import resource
import shutil
import signal
import subprocess

import numpy as np
import pytest
from sklearn.datasets import load_iris
from versions import needs_exporter

import sknca
from sknca import SNNLEmbedding

X, y = load_iris(return_X_y=True)
SETTINGS = {"max_iter": 2, "hidden_layer_sizes": (64,), "random_state": 0}


def embedding(**parameters):
    return SNNLEmbedding(**SETTINGS | parameters)


WRITERS = {
    "save": lambda path: sknca.save(embedding().fit(X, y), path),
    "checkpoint": lambda path: embedding().fit(X, y, checkpoint=path),
    "export_onnx": lambda path: sknca.export_onnx(embedding().fit(X, y), path),
}
writers = pytest.mark.parametrize(
    "write",
    [*("save", "checkpoint"), pytest.param("export_onnx", marks=needs_exporter)],
)


@pytest.fixture(params=["new", "existing"])
def path(request, tmp_path):
    """Where a file is written, and maybe is already."""
    path = tmp_path / "file"
    if request.param == "existing":
        path.write_bytes(b"of yesterday")
    return path


def untouched(path, existed):
    assert path.exists() == existed
    assert not existed or path.read_bytes() == b"of yesterday"
    assert os.listdir(path.parent) == ([path.name] if existed else [])


def in_child(function, *args):
    """What a function raises in a forked process: the kind of error and its message."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def run():
        try:
            function(*args)
            sender.send(("nothing", ""))
        except BaseException as error:
            sender.send((type(error).__name__, str(error)))
        os._exit(0)

    child = os.fork()
    if child == 0:
        run()
    os.waitpid(child, 0)
    return receiver.recv()


def write_at_most(n_bytes, write, path):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing fails instead
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
    WRITERS[write](path)


@writers
def test_a_file_that_may_not_grow(path, write):
    if write == "checkpoint":
        path.unlink(missing_ok=True)
    existed = path.exists()
    kind, message = in_child(write_at_most, 3000, write, path)
    assert kind == "OSError"
    assert "File too large" in message
    untouched(path, existed)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    if mount is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@writers
def test_a_full_disk(small_disk, write):
    path = small_disk / "file"
    (small_disk / "other").write_bytes(bytes(60_000))
    with pytest.raises(OSError, match="No space left on device"):
        WRITERS[write](path)
    assert os.listdir(small_disk) == ["other"]


@writers
def test_a_folder_in_which_nothing_may_be_written(small_disk, write):
    path = small_disk / "file"
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OSError, match="Read-only file system"):
        WRITERS[write](path)
    assert os.listdir(small_disk) == []


@writers
def test_a_folder_and_a_path_that_is_not_there(tmp_path, write):
    for path in (tmp_path, tmp_path / "nowhere" / "file"):
        with pytest.raises((OSError, ValueError), match="directory|existing folder"):
            WRITERS[write](path)
    assert os.listdir(tmp_path) == []


def write_again_and_again(path, fitted):
    for _ in range(60):
        sknca.save(fitted, path)


def test_two_processes_on_one_file(tmp_path):
    path = tmp_path / "file"
    fitted = [embedding(random_state=seed).fit(X, y) for seed in (0, 1)]
    expected = [one.transform(X) for one in fitted]
    sknca.save(fitted[0], path)
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=write_again_and_again, args=(path, one)) for one in fitted]
    for child in children:
        child.start()
    n_read = 0
    while any(child.is_alive() for child in children):
        codes = sknca.load(path).transform(X)
        assert any(np.array_equal(codes, one) for one in expected)
        n_read += 1
    assert [child.exitcode for child in children] == [0, 0]
    assert n_read > 10
    assert os.listdir(tmp_path) == ["file"]


def test_a_process_that_is_killed_while_it_writes(tmp_path):
    path = tmp_path / "file"
    fitted = embedding().fit(X, y)
    sknca.save(fitted, path)
    fork = multiprocessing.get_context("fork")
    rng = np.random.default_rng(0)
    for _ in range(15):
        child = fork.Process(target=write_again_and_again, args=(path, fitted))
        child.start()
        child.join(float(rng.uniform(0.01, 0.1)))
        child.kill()
        child.join()
        assert np.isfinite(sknca.load(path).transform(X)).all()


def test_a_link_that_leads_nowhere(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    sknca.save(embedding().fit(X, y), link)
    assert link.is_symlink()
    assert np.isfinite(sknca.load(tmp_path / "target").transform(X)).all()
