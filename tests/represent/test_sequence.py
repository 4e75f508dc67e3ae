"""The transformer's parts against torch's own, against formulas, and against what they may not see."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from whyrec.represent.sequence import Dropout, Linear, SequenceEncoder, TimeBias, _Block, rotated, rotation


def copied(ours: nn.Module, theirs: nn.TransformerEncoderLayer) -> None:
    pairs = {
        "before_attention": theirs.norm1,
        "before_feed": theirs.norm2,
        "join": theirs.self_attn.out_proj,
        "inner": theirs.linear1,
        "outer": theirs.linear2,
    }
    for name, module in pairs.items():
        getattr(ours, name).load_state_dict(module.state_dict())
    ours.project.weight.data = theirs.self_attn.in_proj_weight.data
    ours.project.bias.data = theirs.self_attn.in_proj_bias.data


def test_a_classic_block_is_torchs_pre_norm_layer() -> None:
    torch.manual_seed(0)
    ours = _Block(12, 3, 24, 0.0, gated=False).eval()
    theirs = nn.TransformerEncoderLayer(12, 3, 24, 0.0, "relu", norm_first=True, batch_first=True).eval()
    nn.init.normal_(theirs.self_attn.in_proj_bias)
    copied(ours, theirs)
    hidden = torch.randn(2, 7, 12)
    causal = nn.Transformer.generate_square_subsequent_mask(7)
    torch.testing.assert_close(ours(hidden, None, None), theirs(hidden, src_mask=causal))
    present = torch.arange(7) < torch.tensor([[7], [4]])
    expected = theirs(hidden, src_key_padding_mask=~present)
    torch.testing.assert_close(ours(hidden, present[:, None, None], None), expected)


def test_a_ligr_block_gates_both_parts() -> None:
    torch.manual_seed(1)
    block = _Block(8, 2, 16, 0.0, gated=True).eval()
    x = torch.randn(3, 5, 8)
    query, key, value = block.project(block.before_attention(x)).view(3, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
    logits = (query @ key.transpose(-1, -2) / 2).masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    attended = block.join((logits.softmax(-1) @ value).transpose(1, 2).reshape(3, 5, 8))
    x_1 = x + torch.sigmoid(x @ block.gates[0].weight.T + block.gates[0].bias) * attended
    normed = functional.layer_norm(x_1, (8,), block.before_feed.weight, block.before_feed.bias)
    first, second = (normed @ block.inner.weight.T)[..., :16], (normed @ block.inner.weight.T)[..., 16:]
    fed = (first * torch.sigmoid(first) * second) @ block.outer.weight.T
    expected = x_1 + torch.sigmoid(x_1 @ block.gates[1].weight.T + block.gates[1].bias) * fed
    torch.testing.assert_close(block(x, None, None), expected)


def test_rotary_products_know_distances_only() -> None:
    torch.manual_seed(2)
    query, key = torch.randn(6), torch.randn(6)
    turn = rotation(9, 6, torch.device("cpu"))
    products = rotated(query.expand(9, 6), turn) @ rotated(key.expand(9, 6), turn).T
    for distance in range(-8, 9):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand(len(diagonal)))
    assert products[0].std() > 0.1


def test_time_bias_looks_up_distance_and_the_log_of_the_gap() -> None:
    bias = TimeBias(heads=1, length=4)
    bias.gap.weight.data = torch.arange(32.0)[:, None]
    bias.apart.weight.data = 100.0 * torch.arange(7.0)[:, None]
    days = torch.tensor([[0.0, 1 / 86_400, 4 / 86_400]])
    found = bias(days, torch.ones(1, 3, dtype=torch.bool), causal=True)[0, 0]
    # Seconds apart: 1 from 0 to 1, 3 from 1 to 2, 4 from 0 to 2; log2(1 + s) = 1, 2, 2.3.
    inf = float("inf")
    expected = torch.tensor([[300.0, -inf, -inf], [401.0, 300.0, -inf], [502.0, 402.0, 300.0]])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("position", ["learned", "rotary", "time"])
@pytest.mark.parametrize("block", ["classic", "ligr"])
def test_a_state_sees_neither_the_future_nor_padding(block: str, position: str) -> None:
    torch.manual_seed(3)
    encoder = SequenceEncoder(20, 8, 10, block=block, position=position).eval()
    items, days = torch.randint(0, 20, (1, 6)), torch.arange(6.0)[None] ** 2
    states = encoder(items, torch.ones(1, 6, dtype=torch.bool), days)
    later, later_days = items.clone(), days.clone()
    later[0, 4:], later_days[0, 4:] = 0, 99.0
    padded = encoder(later, torch.arange(6)[None] < 4, later_days)
    torch.testing.assert_close(padded[0, :4], states[0, :4])
    earlier = items.clone()
    earlier[0, 0] = (items[0, 0] + 1) % 20
    changed = encoder(earlier, torch.ones(1, 6, dtype=torch.bool), days)
    assert (changed[0, 5] - states[0, 5]).abs().max() > 1e-4


def test_dropout_keeps_the_mean_and_drops_its_share() -> None:
    torch.manual_seed(4)
    drop = Dropout(0.25)
    found = drop(torch.ones(1000, 1001))
    assert set(np.unique(found.numpy()).tolist()) == {0.0, np.float32(4 / 3)}
    assert abs(float((found == 0).float().mean()) - 0.25) < 0.002
    assert abs(float(found[:, ::8].mean()) - 1) < 0.01
    assert torch.equal(drop.eval()(found), found)


def test_half_products_are_near_and_only_in_training() -> None:
    torch.manual_seed(5)
    layer, inputs = Linear(64, 32), torch.randn(50, 64)
    exact = layer(inputs)
    layer.half_precision = True
    near = layer.train()(inputs)
    assert near.dtype == torch.float32
    assert not torch.equal(near, exact)
    assert (near - exact).abs().max() < 0.05
    assert torch.equal(layer.eval()(inputs), exact)
