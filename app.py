"""Starts Beyond Attention: `python app.py`, then open the printed address."""

import contextlib
import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
with contextlib.suppress(ImportError):
    import spaces  # noqa: F401  on a ZeroGPU Space this must come before anything that touches CUDA

from models.commands import sentences
from playground import heap, temporary
from playground.ui.address import PORT, AddressError, address

heap.few_arenas()  # before there are threads
with sentences(AddressError):
    if __name__ == "__main__":
        os.environ[PORT] = str(address({})[1])  # before Gradio reads it, which trips over what is no number
    temporary.use_own_folder()  # before torch and Gradio look for one

from playground.ui.shell import launch  # noqa: E402

if __name__ == "__main__":
    with sentences(AddressError):
        launch(inbrowser=os.environ.get("OPEN_BROWSER") == "1")
