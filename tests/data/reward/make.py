"""Makes the fixtures of this folder: tiny random process reward models in the layouts of the published ones, and the scores that their
readers give. Each reader here follows its maker's: it reads a whole solution in one pass and finds the tags among the tokens.

    python -m venv venv && venv/bin/pip install torch==2.11.0 transformers==5.24.0 numpy
    venv/bin/python make.py            # seconds; the same bytes each time

`reference.json` of a model holds solutions, and for each step the probability that it is good ("p"), the raw number ("raw") or the
difference of two probabilities ("difference").
"""

import json
import shutil
from pathlib import Path

import safetensors.torch
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModel, LlamaConfig, LlamaForCausalLM, MistralConfig, PreTrainedTokenizerFast, Qwen2Config
from transformers import Qwen2ForCausalLM, Qwen2ForTokenClassification

HERE = Path(__file__).parent
SOLUTIONS = [
    ("Tom has 3 apples and buys 4. How many has he?", ["He has 3 + 4 = 7 apples.", "So the answer is 7."]),
    ("What is 12 * 3 - 5?", ["12 * 3 = 36.", "36 - 5 = 31.", "The answer is 31.\nThat is all."]),
    ("Is 7 - 7 = 0?", ["Yes."]),
]
# One line a step: some readers would take a line end for the end of a step.
PLAIN = [(question, [step.replace("\n", " ") for step in steps]) for question, steps in SOLUTIONS]
WORDS = ["+", "-", " +", " -", " ки", " ки\n", "ки", " и", " \n\n\n\n\n", "\n", "\n\n", " Step", ".\n\n"]
CORPUS = [q + " " + " ".join(s) for q, s in SOLUTIONS] + [word + end for word in WORDS for end in ("x", " x")] * 20 + ["Step 1: Step 2: Step 3:"] * 5
SPECIAL = [
    "<|end|>", "<|pad|>", "<|im_start|>", "<|im_end|>", "<|begin|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<extra_0>",
]
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim"
    " + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
SIZES = dict(
    hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
    max_position_embeddings=256, eos_token_id=0, bos_token_id=None, pad_token_id=1, tie_word_embeddings=False,
)


def byte_level():
    """Qwen's and Llama 3's kind, with `<|begin|>` before a text where it is asked for."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=200, special_tokens=SPECIAL, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens([AddedToken(" [PRM]", normalized=False)])
    return tokenizer


def sentencepiece():
    """Llama 2's and Mistral's kind: a blank before each text, `<s>` where it is asked for, bytes for what has no token."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    # Of the bytes' tokens the one that the texts need.
    special = ["<|end|>", "<|pad|>", "<unk>", "<s>", "<0x0A>"]
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    words = [text.replace("\n", " ") for text in CORPUS]
    tokenizer.train_from_iterator(words + ["ки и + -"] * 30, trainer)
    # Only the bytes' own tokens, as those of a trained file: text never makes them.
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if not token["content"].startswith("<0x")]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.pre_tokenizer = None
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", bos)])
    return tokenizer


def with_bos(tokenizer):
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    bos = tokenizer.token_to_id("<|begin|>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", bos)])
    return tokenizer


TOKENIZERS = {}


def tokenizers():
    plain = byte_level()
    kinds = {
        "chatml": (plain, dict(eos_token="<|im_end|>"), CHATML),
        # Its makers name a token that begins a text, and the tokenizer does not put it there.
        "skywork": (plain, dict(bos_token="<|im_start|>"), CHATML),
        "llama3": (with_bos(plain), dict(bos_token="<|begin|>"), LLAMA3),
        "llama2": (sentencepiece(), dict(bos_token="<s>"), None),
    }
    for name, (tokenizer, tokens, template) in kinds.items():
        folder = HERE / "tokenizers" / name
        folder.mkdir(parents=True)
        tokenizer.save(str(folder / "tokenizer.json"))
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", **tokens}
        settings |= {"chat_template": template} if template else {}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
        TOKENIZERS[name] = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, **tokens)


def randomise(module, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in sorted(module.named_parameters()):
            noise = 0.5 * torch.randn(tensor.shape, generator=generator)
            tensor.copy_(1 + noise if "norm" in name else noise)


def head(seed, *sizes, bias=True):
    layers = []
    for size, out in zip(sizes, sizes[1:]):
        layers += [torch.nn.Linear(size, out, bias=bias), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1]) if len(layers) > 2 else layers[0]
    randomise(net, seed)
    return net


def body(config, seed, tokenizer):
    """A family's blocks over a tokenizer."""
    model = AutoModel.from_config(config(vocab_size=len(TOKENIZERS[tokenizer]), **SIZES))
    randomise(model, seed)
    return model.eval()


def causal(kind, config, seed, tokenizer):
    model = kind(config(vocab_size=len(TOKENIZERS[tokenizer]), **SIZES))
    randomise(model, seed)
    return model.eval()


def save(name, config, tensors, architecture, tokenizer, solutions, key, scores):
    folder = HERE / name
    folder.mkdir()
    settings = json.loads(config.to_json_string()) | {"architectures": [architecture]}
    (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
    tensors = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    rows = [
        {"question": question, "steps": steps, key: [round(float(number), 7) for number in numbers]}
        for (question, steps), numbers in zip(solutions, scores)
    ]
    assert all(len(row["steps"]) == len(row[key]) for row in rows), (name, rows)
    reference = {"tokenizer": tokenizer, "solutions": rows}
    (folder / "reference.json").write_text(json.dumps(reference, indent=1, ensure_ascii=False) + "\n")


def prefixed(model, prefix="model."):
    return {prefix + name: tensor for name, tensor in model.state_dict().items()}


def states(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).last_hidden_state[0]


def logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0]


def last_id(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)[-1]


def chat_ids(tokenizer, messages, **options):
    text = tokenizer.apply_chat_template(messages, tokenize=False, **options)
    return tokenizer.encode(text, add_special_tokens=False)


def qwen_prm():
    tokenizer = TOKENIZERS["chatml"]
    tag = tokenizer.convert_tokens_to_ids("<extra_0>")
    for name, system, seed in [
        ("qwen2.5-math-prm", "Please reason step by step, and put your final answer within \\boxed{}.", 1),
        ("reasonflux-prm", None, 2),
    ]:
        model, score = body(Qwen2Config, seed, "chatml"), head(seed + 100, 8, 8, 2)
        scores = []
        for question, steps in SOLUTIONS:
            messages = [{"role": "system", "content": system}] if system else []
            messages += [{"role": "user", "content": question}]
            messages += [{"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"}]
            ids = chat_ids(tokenizer, messages)
            found = score(states(model, ids))[torch.tensor(ids) == tag]
            scores.append(found.softmax(-1)[:, 1].tolist())
        tensors = prefixed(model) | prefixed(score, "score.") | {"lm_head.weight": torch.randn(len(tokenizer), 8)}
        save(name, model.config, tensors, "Qwen2ForProcessRewardModel", "chatml", SOLUTIONS, "p", scores)


def tagged(name, kind, config, seed, tokenizer_name, text, tag_text, good, bad, solutions):
    """The language model's logits of two tokens at every tag of one text."""
    tokenizer = TOKENIZERS[tokenizer_name]
    model = causal(kind, config, seed, tokenizer_name)
    tag, good, bad = last_id(tokenizer, tag_text), last_id(tokenizer, good), last_id(tokenizer, bad)
    scores = []
    for question, steps in solutions:
        ids = tokenizer.encode(text(question, steps))
        found = logits(model, ids)[:, [good, bad]][torch.tensor(ids) == tag]
        scores.append(found.softmax(-1)[:, 0].tolist())
    save(name, model.config, model.state_dict(), kind.__name__, tokenizer_name, solutions, "p", scores)


def math_shepherd():
    # Published as a Llama, whose blocks are Mistral's without the window.
    text = lambda q, steps: q + " " + "".join(f"Step {i + 1}: {step} ки\n" for i, step in enumerate(steps))
    tagged("math-shepherd", LlamaForCausalLM, LlamaConfig, 3, "llama2", text, "ки", "+", "-", SOLUTIONS)


def er_prm():
    text = lambda q, steps: q + " " + "".join(step + " ки" for step in steps)
    tagged("er-prm", LlamaForCausalLM, LlamaConfig, 4, "llama3", text, " ки", " +", " -", SOLUTIONS)


def math_psa():
    text = lambda q, steps: q + " " + " ".join(step + " \n\n\n\n\n" for step in steps)
    tagged("math-psa", Qwen2ForCausalLM, Qwen2Config, 5, "chatml", text, " \n\n\n\n\n", " +", " -", SOLUTIONS)


def rlhflow():
    tokenizer = TOKENIZERS["llama3"]
    model = causal(LlamaForCausalLM, LlamaConfig, 6, "llama3")
    good, bad = last_id(tokenizer, "+"), last_id(tokenizer, "-")
    scores = []
    for question, steps in SOLUTIONS:
        conversation, numbers = [], []
        for index, step in enumerate(steps):
            text = question + " " + step if index == 0 else step
            conversation += [{"role": "user", "content": text}, {"role": "assistant", "content": "+"}]
            # The end is "\n\n", "+" and the turn's end: the number that predicts "+" is the third from behind.
            numbers.append(logits(model, chat_ids(tokenizer, conversation))[-3, [good, bad]].softmax(-1)[0])
        scores.append(numbers)
    save("rlhflow", model.config, model.state_dict(), "LlamaForCausalLM", "llama3", SOLUTIONS, "p", scores)


def skywork():
    tokenizer = TOKENIZERS["skywork"]
    model, summary = body(Qwen2Config, 7, "skywork"), head(107, 8, 1)
    scores = []
    for question, steps in PLAIN:
        ids, places = tokenizer.encode(tokenizer.bos_token + question + "\n"), []
        for step in steps:
            ids = ids + tokenizer.encode(step) + [tokenizer.encode("\n")[-1]]
            places.append(len(ids) - 1)
        scores.append(summary(states(model, ids))[places, 0].sigmoid().tolist())
    tensors = prefixed(model) | prefixed(summary, "v_head.summary.")
    save("skywork-o1", model.config, tensors, "Qwen2ForPrmModel", "skywork", PLAIN, "p", scores)


def token_classifier(name, seed, tokenizer_name, separator, key="p", joined=False):
    tokenizer = TOKENIZERS[tokenizer_name]
    config = Qwen2Config(vocab_size=len(tokenizer), num_labels=2, **SIZES)
    model = Qwen2ForTokenClassification(config)
    randomise(model, seed)
    model.eval()
    alone = lambda text: tokenizer.encode(text, add_special_tokens=False)
    scores = []
    for question, steps in SOLUTIONS:
        if joined:
            numbers = []
            for count in range(len(steps)):
                text = question + separator + "".join(step + separator for step in steps[: count + 1])
                numbers.append(logits(model, alone(text))[-1].softmax(-1)[1])
            scores.append(numbers)
            continue
        ids = ([tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []) + alone(question)
        places = []
        for step in steps:
            ids = ids + alone(step) + alone(separator)
            places.append(len(ids) - 1)
        p = logits(model, ids)[places].softmax(-1)
        scores.append((p[:, 1] - p[:, 0] if key == "difference" else p[:, 1]).tolist())
    save(name, config, model.state_dict(), "Qwen2ForTokenClassification", tokenizer_name, SOLUTIONS, key, scores)


def eurus():
    tokenizer = TOKENIZERS["chatml"]
    model = causal(Qwen2ForCausalLM, Qwen2Config, 11, "chatml")
    reference = causal(Qwen2ForCausalLM, Qwen2Config, 12, "chatml")
    scores = []
    for question, steps in SOLUTIONS:
        numbers = []
        for count in range(len(steps)):
            answer = "\n\n".join(f"Step {i + 1}: {step}" for i, step in enumerate(steps[: count + 1]))
            asked = [{"role": "user", "content": question}]
            start = len(chat_ids(tokenizer, asked, add_generation_prompt=True))
            text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True) + answer
            ids = tokenizer.encode(text)
            target = torch.tensor(ids[start:])[:, None]
            sums = [
                logits(net, ids)[start - 1 : -1].log_softmax(-1).gather(1, target).sum() for net in (model, reference)
            ]
            numbers.append(torch.sigmoid(0.05 * (sums[0] - sums[1])))
        scores.append(numbers)
    save("eurus-prm", model.config, model.state_dict(), "Qwen2ForCausalLM", "chatml", SOLUTIONS, "p", scores)
    save("eurus-reference", model.config, reference.state_dict(), "Qwen2ForCausalLM", "chatml", [], "p", [])


def pqm():
    tokenizer = TOKENIZERS["llama3"]
    model, summary = causal(LlamaForCausalLM, LlamaConfig, 13, "llama3"), head(113, 8, 1)
    tag = tokenizer.convert_tokens_to_ids(" [PRM]")
    scores = []
    for question, steps in SOLUTIONS:
        text = f"[INST] {question} [/INST]\n" + "\n".join(f"Step {i + 1}: {step} [PRM]" for i, step in enumerate(steps))
        ids = tokenizer.encode(text, add_special_tokens=False)
        scores.append(summary(states(model.model, ids))[torch.tensor(ids) == tag, 0].tolist())
    tensors = {"pretrained_model." + name: tensor for name, tensor in model.state_dict().items()}
    tensors |= prefixed(summary, "v_head.summary.")
    save("pqm", model.config, tensors, "LlamaForCausalLM", "llama3", SOLUTIONS, "raw", scores)


def easy_to_hard():
    tokenizer = TOKENIZERS["llama2"]
    model = causal(LlamaForCausalLM, LlamaConfig, 14, "llama2")
    with torch.no_grad():
        rows = model.lm_head.weight[:2].clone()
        model.lm_head.weight.copy_(rows.repeat(len(tokenizer), 1)[: len(tokenizer)])
    line = last_id(tokenizer, "\n")
    scores = []
    for question, steps in PLAIN:
        ids = tokenizer.encode(f"# Question\n\n{question}\n\n# Solution\n\n" + "".join(step + "\n\n" for step in steps))
        # The first of each pair of line ends, without those around the headings.
        pairs = [at for at in range(1, len(ids)) if ids[at - 1] == ids[at] == line]
        places = [at - 1 for at in pairs][3:]
        scores.append(logits(model, ids)[places][:, :2].mean(-1).sigmoid().tolist())
    save("easy-to-hard", model.config, model.state_dict(), "LlamaForCausalLM", "llama2", PLAIN, "p", scores)


def reason_eval():
    for name, config, tokenizer_name, shift, seed in [
        ("reasoneval-34b", LlamaConfig, "llama2", 0, 15), ("reasoneval-7b", MistralConfig, "llama2", 1, 16),
    ]:
        tokenizer = TOKENIZERS[tokenizer_name]
        model, score = body(config, seed, tokenizer_name), head(seed + 100, 8, 3, bias=False)
        scores = []
        for question, steps in SOLUTIONS:
            ids = tokenizer.encode(f"Question:\n{question}\nAnswer:\nLet's think step by step.\n")
            places = []
            for step in steps:
                ids = ids + tokenizer.encode(step, add_special_tokens=False)
                places.append(len(ids) - 1 - shift)
            p = score(states(model, ids))[places].softmax(-1)
            scores.append((p[:, 1] + p[:, 2]).tolist())
        tensors = prefixed(model) | prefixed(score, "score_head.")
        kind = config.__name__.replace("Config", "")
        save(name, model.config, tensors, f"ReasonEval_{shift}_{kind}", tokenizer_name, SOLUTIONS, "p", scores)


def math_minos():
    tokenizer = TOKENIZERS["llama2"]
    model, score = body(MistralConfig, 17, "llama2"), head(117, 8, 1)
    tag = last_id(tokenizer, "и")
    scores = []
    for question, steps in SOLUTIONS:
        ids = tokenizer.encode(
            f"Human: {question}\n\nAssistant:" + "".join(f"Step {i + 1}: {step} и\n" for i, step in enumerate(steps))
        )
        scores.append(score(states(model, ids))[torch.tensor(ids) == tag, 0].sigmoid().tolist())
    tensors = prefixed(model) | prefixed(score, "score.")
    save("math-minos", model.config, tensors, "MistralForTokenClassification", "llama2", SOLUTIONS, "p", scores)


def babelscape():
    tokenizer = TOKENIZERS["llama3"]
    model, scalar = body(LlamaConfig, 18, "llama3"), head(118, 8, 1)
    tag = tokenizer.encode("ки", add_special_tokens=False)
    scores = []
    for question, steps in SOLUTIONS:
        text = f"Problem: {question}\nSteps:\n" + "\n".join(f"Step {i + 1}: {step}\nки" for i, step in enumerate(steps))
        ids = tokenizer.encode(text)
        places = [at for at in range(len(ids)) if ids[at : at + len(tag)] == tag]
        scores.append(scalar(states(model, ids))[places, 0].sigmoid().tolist())
    tensors = prefixed(model) | prefixed(scalar, "pred_scalar.")
    save("babelscape", model.config, tensors, "LlamaForPrm", "llama3", SOLUTIONS, "p", scores)


if __name__ == "__main__":
    for folder in [path for path in HERE.iterdir() if path.is_dir()]:
        shutil.rmtree(folder)
    torch.manual_seed(0)
    tokenizers()
    qwen_prm()
    math_shepherd()
    rlhflow()
    skywork()
    token_classifier("trl", 8, "chatml", "\n")
    token_classifier("trl-bos", 19, "llama3", "\n")
    token_classifier("trl-joined", 9, "chatml", "\n\n", joined=True)
    token_classifier("pure", 10, "chatml", "\n", key="difference")
    eurus()
    er_prm()
    math_psa()
    pqm()
    easy_to_hard()
    reason_eval()
    math_minos()
    babelscape()
    print(sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file()), "bytes")
