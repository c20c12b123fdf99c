//! Files of others: safetensors, `config.json`, `tokenizer.json`. Nothing in them is trusted.
