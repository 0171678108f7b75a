"""Starts Beyond Attention: `python app.py`, then open the printed address."""

import contextlib
import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
with contextlib.suppress(ImportError):
    import spaces  # noqa: F401  on a ZeroGPU Space this must come before anything that touches CUDA

from playground.ui.shell import launch

if __name__ == "__main__":
    launch(inbrowser=os.environ.get("OPEN_BROWSER") == "1")
