"""The model of Bahdanau, Cho and Bengio 2015, "Neural machine translation by jointly learning to align and translate":
a bidirectional GRU reads the source, additive attention looks at all of it for each target token, a GRU writes.

The equations are those of the paper's appendix A, with the GRU of PyTorch (the reset gate after the product).
"""

import torch
from torch import nn


class Bahdanau(nn.Module):
    def __init__(self, vocab_size, embedding_size, hidden_size, attention_size, readout_size):
        super().__init__()
        v, e, h, a, m = vocab_size, embedding_size, hidden_size, attention_size, readout_size
        self.source_embedding = nn.Embedding(v, e)
        self.target_embedding = nn.Embedding(v, e)
        self.encoder = nn.GRU(e, h, bidirectional=True, batch_first=True)
        self.initial = nn.Linear(h, h)
        self.attention = nn.ModuleDict({
            "query": nn.Linear(h, a, bias=False), "key": nn.Linear(2 * h, a), "value": nn.Linear(a, 1, bias=False)})
        self.decoder = nn.GRUCell(e + 2 * h, h)
        self.readout = nn.Linear(h + e + 2 * h, 2 * m)
        self.output = nn.Linear(m, v)

    def encode(self, ids, lengths):
        """ids [B, L] padded behind, lengths [B]: annotations h [B, L, 2H], keys W_k h + b [B, L, A], the mask of real
        positions [B, L], and the decoder's first state [B, H], made from the backward state at the first position."""
        packed = nn.utils.rnn.pack_padded_sequence(
            self.source_embedding(ids), lengths.cpu(), batch_first=True, enforce_sorted=False)
        annotations, last = self.encoder(packed)
        annotations, _ = nn.utils.rnn.pad_packed_sequence(annotations, batch_first=True, total_length=ids.shape[1])
        mask = torch.arange(ids.shape[1])[None] < lengths[:, None]
        return annotations, self.attention["key"](annotations), mask, torch.tanh(self.initial(last[1]))

    def attend(self, state, annotations, keys, mask):
        """The weights α [B, L] of a state s_{i-1} [B, H], and the context c_i [B, 2H]."""
        scores = self.attention["value"](torch.tanh(self.attention["query"](state)[:, None] + keys))[..., 0]
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        return weights, torch.einsum("bl,blh->bh", weights, annotations)

    def step(self, ids, state, encoded):
        """ids y_{i-1} [B]: the readout's input [s_i; y_{i-1}; c_i], the state s_i, the weights α_i."""
        embedded = self.target_embedding(ids)
        weights, context = self.attend(state, *encoded)
        state = self.decoder(torch.cat((embedded, context), -1), state)
        return torch.cat((state, embedded, context), -1), state, weights

    def logits(self, readout):
        """Maxout over the two halves, then the output layer."""
        return self.output(torch.maximum(*self.readout(readout).chunk(2, -1)))

    def forward(self, ids, lengths, targets):
        """Teacher forcing: targets [B, T], the first is the start token. Logits [B, T, V] and weights [B, T, L]."""
        *encoded, state = self.encode(ids, lengths)
        readouts, weights = [], []
        for column in targets.unbind(1):
            readout, state, alpha = self.step(column, state, encoded)
            readouts.append(readout)
            weights.append(alpha)
        return self.logits(torch.stack(readouts, 1)), torch.stack(weights, 1)

    @torch.no_grad()
    def greedy(self, ids, lengths, start, end, max_length):
        """Ids [B, ≤ max_length] without the start token; what stands behind the first `end` means nothing. The sums of
        log-probabilities up to and with it [B]."""
        *encoded, state = self.encode(ids, lengths)
        last = torch.full((len(ids),), start)
        done = torch.zeros(len(ids), dtype=torch.bool)
        total = torch.zeros(len(ids), dtype=state.dtype)
        columns = []
        while len(columns) < max_length and not done.all():
            readout, state, _ = self.step(last, state, encoded)
            best, last = self.logits(readout).log_softmax(-1).max(-1)
            total += torch.where(done, 0.0, best)
            done |= last == end
            columns.append(last)
        return torch.stack(columns, 1), total
