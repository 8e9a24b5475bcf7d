"""A callback for tests."""


class Recorder:
    """Writes down what it is told, and says stop after an epoch, or fails there."""

    def __init__(self, stop_after=None, fail_after=None, error=RuntimeError):
        self.stop_after = stop_after
        self.fail_after = fail_after
        self.error = error
        self.told = []

    def setup(self, estimator, context):
        self.told.append("setup")

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.told.append(f"begin {context.task_name} {context.task_id}")

    def on_fit_task_end(self, estimator, context):
        self.told.append(f"end {context.task_name} {context.task_id}")
        if context.task_name == "epoch" and context.task_id == self.fail_after:
            raise self.error("a callback failed")
        return context.task_name == "epoch" and context.task_id == self.stop_after
