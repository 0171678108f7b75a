"""The `transformers` classes that the zoo's entries correspond to, at the entries' sizes: plain keyword arguments.

Sizes are those of `models.entries`; the parameters of both sides are printed with every measurement, and a test
compares them. Kernels, chunk sizes and attention are left to the library's defaults for a CPU.

Where the anatomy differs: ours alone has the short convolutions of mlstm and MiniMax-M1, which rotates whole heads
there and half of them here; the plain Mamba classes have no feed-forward, so that they stand beside ours without them
("mamba, mixers only") as well as beside the entry, to our disadvantage.
"""

from __future__ import annotations

from typing import Any

MIXERS_ONLY = ", mixers only"  # the entry without its feed-forwards
Kind = tuple[str, dict[str, Any]]  # the class without "ForCausalLM", its configuration

_heads = {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16}
_shared_heads = _heads | {"num_key_value_heads": 2}
_delta_sizes = {
    "linear_num_key_heads": 4, "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4, "num_experts": 4, "num_experts_per_tok": 2,
    "partial_rotary_factor": 0.25,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.25},
}  # fmt: skip
_latent = {
    "num_attention_heads": 4, "num_key_value_heads": 4, "qk_nope_head_dim": 16, "v_head_dim": 16,
    "qk_rope_head_dim": 8, "kv_lora_rank": 24, "rms_norm_eps": 1e-6,
}  # fmt: skip
_deepseek = _latent | {
    "q_lora_rank": 32, "intermediate_size": 168, "moe_intermediate_size": 56, "n_routed_experts": 8,
    "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 2, "topk_group": 1, "routed_scaling_factor": 2.5,
}  # fmt: skip
_indexer = {"index_n_heads": 4, "index_head_dim": 16, "index_topk": 16}
_kimi = _latent | {
    "intermediate_size": 144, "moe_intermediate_size": 48, "num_local_experts": 4, "num_experts_per_tok": 2,
    "routed_scaling_factor": 2.446, "n_shared_experts": 1, "linear_num_heads": 4, "linear_head_dim": 16,
    "pad_token_id": None,
}  # fmt: skip
_experts = {"num_local_experts": 4, "num_experts_per_tok": 2}
_mamba2 = {"num_heads": 4, "head_dim": 16, "state_size": 16, "expand": 1, "n_groups": 1, "conv_kernel": 4}
_bamba = {
    "num_attention_heads": 4, "num_key_value_heads": 2, "mamba_expand": 1, "mamba_n_heads": 4, "mamba_d_state": 16,
}  # fmt: skip
_nemotron = {
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "mamba_num_heads": 4, "mamba_head_dim": 16,
    "ssm_state_size": 16, "n_groups": 1,
}  # fmt: skip
_rwkv = {"intermediate_size": 226, "attention_hidden_size": 64}
_xlstm = {
    "num_heads": 4, "qk_dim_factor": 1.0, "ffn_proj_factor": 2.25, "ffn_round_up_to_multiple_of": 8,
    "autocast_kernel_dtype": "float32",
}  # fmt: skip
_delta, _full = "linear_attention", "full_attention"
_three_to_one = [_delta] * 3 + [_full]


def _llama(kv_heads: int, hidden: int) -> Kind:
    return "Llama", _heads | {"num_key_value_heads": kv_heads, "intermediate_size": hidden}


def _qwen3_next(kinds: list[str], hidden: int, experts: bool) -> Kind:
    widths = {"moe_intermediate_size": hidden, "shared_expert_intermediate_size": hidden, "intermediate_size": hidden}
    dense = [] if experts else list(range(len(kinds)))
    return "Qwen3Next", _heads | _delta_sizes | widths | {"layer_types": kinds, "mlp_only_layers": dense}


def _kimi_linear(kinds: list[str], dense: int) -> Kind:
    return "KimiLinear", _kimi | {
        "layer_types": kinds, "mlp_layer_types": ["dense"] * dense + ["sparse"] * (len(kinds) - dense),
    }  # fmt: skip


KINDS: dict[str, Kind] = {
    "mha": _llama(4, 168),
    "gqa": _llama(2, 189),
    "mqa": _llama(1, 200),
    "sliding-window": ("Mistral", _heads | {"intermediate_size": 168, "sliding_window": 16}),
    "gated-attention": _qwen3_next([_full] * 4, 147, False),
    "gated-deltanet": _qwen3_next([_delta] * 4, 144, False),
    "qwen3-next": _qwen3_next(_three_to_one, 48, True),
    "mla": ("DeepseekV3", _deepseek | {"first_k_dense_replace": 4}),
    "dsa": ("DeepseekV32", _deepseek | _indexer | {"first_k_dense_replace": 4}),
    "deepseek-v3.2": ("DeepseekV32", _deepseek | _indexer | {"first_k_dense_replace": 1}),
    "kda": _kimi_linear([_delta] * 4, 4),
    "kimi-linear": _kimi_linear(_three_to_one, 1),
    "minimax-m1": (
        "MiniMax",
        _heads | _experts | {"head_dim": 12, "intermediate_size": 46, "layer_types": [_delta] * 7 + [_full]},
    ),
    "minimax-m2": ("MiniMaxM2", _shared_heads | _experts | {"intermediate_size": 92}),
    "mamba": ("Mamba", {"state_size": 16, "expand": 1}),
    "mamba" + MIXERS_ONLY: ("Mamba", {"state_size": 16, "expand": 1}),
    "mamba2": ("Bamba", _bamba | {"intermediate_size": 180, "attn_layer_indices": [], "mamba_d_head": 16}),
    "mamba2" + MIXERS_ONLY: ("Mamba2", _mamba2),
    "jamba": (
        "Jamba",
        {
            "intermediate_size": 108, "num_attention_heads": 4, "num_key_value_heads": 2, "num_experts": 4,
            "num_experts_per_tok": 2, "mamba_d_state": 16, "mamba_expand": 1,
        },
    ),
    "bamba": ("Bamba", _bamba | {"intermediate_size": 98, "attn_layer_indices": [8], "mamba_d_head": 12}),
    "granite-4": (
        "GraniteMoeHybrid",
        _bamba | _experts | {
            "intermediate_size": 28, "shared_intermediate_size": 28, "mamba_d_head": 12,
            "layer_types": [_delta] * 5 + [_full] + [_delta] * 4, "embedding_multiplier": 12,
            "residual_multiplier": 0.22, "attention_multiplier": 1 / 12, "logits_scaling": 2,
        },
    ),
    "nemotron-nano-2": (
        "NemotronH",
        _nemotron | {"intermediate_size": 240, "hybrid_override_pattern": "M-M-M-M*-", "mlp_hidden_act": "relu2"},
    ),
    "mamba2-hybrid": (
        "NemotronH",
        _nemotron | {"intermediate_size": 108, "hybrid_override_pattern": "M-M-M--M-M*-M-", "mlp_hidden_act": "gelu"},
    ),
    "rwkv4": ("Rwkv", _rwkv),
    "mlstm": ("xLSTM", _xlstm),
}  # fmt: skip
