"""Stacks that write by denoising: a canvas of hidden words becomes a text, in any order or block by block.

All have four layers and width 64. They share the words with the zoo, learn nothing but stories, and know at most
`PLACES` places apart. MDLM is a way to sample and no network of its own: it runs on LLaDA's. LLaDA with Mamba-2 is not
a published model: it is LLaDA's process on Hydra, which is how Mamba-2 reads in both directions.
"""

from __future__ import annotations

from models.architecture import Architecture
from models.backbone import Frame, Layer
from models.entries.parts import block_softmax, full_softmax, hydra, mlp, softmax

PLACES = 64  # tokens of the longest canvas
BLOCK = 8  # tokens of a block

ENTRIES = (
    Architecture(
        "llada",
        "LLaDA",
        "LLaDA",
        "diffusion",
        "Softmax attention in both directions guesses all hidden words at once; the surest ones stay.",
        (Layer(full_softmax, mlp(168)),) * 4,
        "Large Language Diffusion Models, 2502.09992",
        "2025-02",
        frame=Frame(places=PLACES),
        process="masked",
    ),
    Architecture(
        "llada-mamba",
        "LLaDA with Mamba-2",
        "LLaDA-M2",
        "diffusion",
        "The same denoising by a recurrence in both directions: Hydra, which is Mamba-2 ahead and back as one matrix.",
        (Layer(hydra, mlp(136)),) * 4,
        "Large Language Diffusion Models, 2502.09992; Hydra, 2407.09941",
        "2025-02",
        frame=Frame(places=PLACES),
        process="masked",
    ),
    Architecture(
        "bd3lm",
        "Block diffusion",
        "BD3-LM",
        "diffusion",
        "Denoises eight words at a time; finished blocks stay in a cache of keys and values.",
        (Layer(block_softmax(BLOCK), mlp(168)),) * 4,
        "Block Diffusion, 2503.09573",
        "2025-03",
        frame=Frame(places=PLACES),
        process="block",
    ),
    Architecture(
        "story-twin",
        "Autoregressive twin",
        "AR twin",
        "diffusion",
        "LLaDA's layers and parameters with a causal mask: one word after another, on the same stories.",
        (Layer(softmax, mlp(168)),) * 4,
        "Attention Is All You Need, 1706.03762",
        "2017-06",
        frame=Frame(places=PLACES),
    ),
)
