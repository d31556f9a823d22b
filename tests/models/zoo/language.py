"""transformers architectures in small random configurations: encoders, decoders, encoder-decoders, audio and text towers."""

import torch

from zoo import AUTO, DYNAMIC, add, ids

V = 99
SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=V, max_position_embeddings=64)


def tokens(*shapes):
    return lambda: [(ids(V, *s),) for s in shapes]


def masked(*shapes):
    def samples():
        found = []
        for shape in shapes:
            keep = torch.ones(*shape, dtype=torch.int64)
            keep[-1, shape[1] // 2 :] = 0
            found.append(((), {"input_ids": ids(V, *shape), "attention_mask": keep}))
        return found

    return samples


SIZES = ((2, 9), (3, 16), (2, 5))
BOTH = {0: DYNAMIC, 1: DYNAMIC}


def model(class_name, config_name, samples, dynamic, name, attention="sdpa", **config):
    def build():
        import transformers

        settings = getattr(transformers, config_name)(**config)
        settings.use_cache = False
        settings.return_dict = True
        settings._attn_implementation = attention
        return getattr(transformers, class_name)(settings)

    add(f"hf_{name}", build, samples, dynamic, **({"large": True} if name.endswith("_full") else {}))


MASK = {"input_ids": BOTH, "attention_mask": BOTH}
model("BertModel", "BertConfig", masked(*SIZES), MASK, "bert", **SMALL)
model("DistilBertModel", "DistilBertConfig", masked(*SIZES), MASK, "distilbert", dim=32, n_layers=2, n_heads=4, hidden_dim=64, vocab_size=V, max_position_embeddings=64)
model("RobertaForSequenceClassification", "RobertaConfig", masked(*SIZES), MASK, "roberta", **SMALL)
model("AlbertModel", "AlbertConfig", masked(*SIZES), MASK, "albert", embedding_size=16, **SMALL)
model("ElectraForMaskedLM", "ElectraConfig", masked(*SIZES), MASK, "electra", embedding_size=16, **SMALL)
model("MPNetModel", "MPNetConfig", masked(*SIZES), MASK, "mpnet", attention="eager", **SMALL)
model("DebertaV2Model", "DebertaV2Config", masked((2, 9)), None, "deberta_v2", attention="eager", pos_att_type=["p2c", "c2p"], relative_attention=True, **SMALL)
model("T5EncoderModel", "T5Config", masked(*SIZES), MASK, "t5_encoder", d_model=32, d_ff=64, d_kv=8, num_layers=2, num_heads=4, vocab_size=V)
GPT2 = dict(n_embd=32, n_layer=2, n_head=4, vocab_size=V, n_positions=64)
model("GPT2LMHeadModel", "GPT2Config", tokens(*SIZES), (BOTH,), "gpt2", **GPT2)
model("OPTForCausalLM", "OPTConfig", masked((2, 9)), None, "opt", ffn_dim=64, word_embed_proj_dim=32, **{k: v for k, v in SMALL.items() if k != "intermediate_size"})
model("GPTNeoXForCausalLM", "GPTNeoXConfig", tokens(*SIZES), (BOTH,), "gpt_neox", **SMALL)
LLAMA = dict(num_key_value_heads=2, **SMALL)
model("LlamaForCausalLM", "LlamaConfig", tokens(*SIZES), (BOTH,), "llama", **LLAMA)
model("MistralForCausalLM", "MistralConfig", tokens(*SIZES), (BOTH,), "mistral", sliding_window=6, **LLAMA)
model("Qwen2ForCausalLM", "Qwen2Config", tokens(*SIZES), (BOTH,), "qwen2", **LLAMA)
model("Qwen3ForCausalLM", "Qwen3Config", tokens(*SIZES), (BOTH,), "qwen3", head_dim=8, **LLAMA)
model("GemmaForCausalLM", "GemmaConfig", tokens(*SIZES), (BOTH,), "gemma", head_dim=8, **LLAMA)
model("PhiForCausalLM", "PhiConfig", tokens(*SIZES), (BOTH,), "phi", **SMALL)
model("BloomForCausalLM", "BloomConfig", masked((2, 9)), None, "bloom", attention="eager", hidden_size=32, n_layer=2, n_head=4, vocab_size=V)
model("MixtralForCausalLM", "MixtralConfig", tokens((2, 9)), None, "mixtral", num_local_experts=4, num_experts_per_tok=2, **LLAMA)
model("CLIPTextModel", "CLIPTextConfig", tokens(*SIZES), ({0: DYNAMIC, 1: AUTO},), "clip_text", eos_token_id=98, **SMALL)
model(
    "CLIPVisionModel",
    "CLIPVisionConfig",
    lambda: [(torch.randn(1, 3, 32, 32),), (torch.randn(3, 3, 32, 32),)],
    ({0: DYNAMIC},),
    "clip_vision",
    image_size=32,
    patch_size=8,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
)
model(
    "ViTForImageClassification",
    "ViTConfig",
    lambda: [(torch.randn(1, 3, 32, 32),), (torch.randn(3, 3, 32, 32),)],
    ({0: DYNAMIC},),
    "vit",
    image_size=32,
    patch_size=8,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
)


def whisper():
    import transformers

    config = transformers.WhisperConfig(
        d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, vocab_size=V, num_mel_bins=20, max_source_positions=30, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, suppress_tokens=[]
    )
    return transformers.WhisperModel(config).encoder


add("hf_whisper_encoder", whisper, lambda: [(torch.randn(1, 20, 60),), (torch.randn(2, 20, 60),)], ({0: DYNAMIC},))


def wav2vec2():
    import transformers

    return transformers.Wav2Vec2Model(
        transformers.Wav2Vec2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, conv_dim=(16, 16, 16), conv_kernel=(10, 3, 3), conv_stride=(5, 2, 2), num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, vocab_size=V)
    )


add("hf_wav2vec2", wav2vec2, lambda: [(torch.randn(1, 800),), (torch.randn(2, 800),)], ({0: DYNAMIC},))


def t5():
    import transformers

    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(d_model=32, d_ff=64, d_kv=8, num_layers=2, num_heads=4, vocab_size=V, use_cache=False, decoder_start_token_id=0)
    )


add("hf_t5", t5, lambda: [((), {"input_ids": ids(V, 2, 9), "decoder_input_ids": ids(V, 2, 4), "use_cache": False})])

BASE = dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, vocab_size=30522, max_position_embeddings=512)
model("BertModel", "BertConfig", lambda: [((), {"input_ids": ids(30000, *s), "attention_mask": torch.ones(s, dtype=torch.int64)}) for s in ((1, 128), (2, 37))], MASK, "bert_base_full", **BASE)
model("GPT2LMHeadModel", "GPT2Config", lambda: [(ids(50000, 1, 64),), (ids(50000, 2, 17),)], (BOTH,), "gpt2_full")
