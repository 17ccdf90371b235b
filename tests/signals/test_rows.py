import torch

from kdpipe.signals.rows import pack


def test_pack_takes_the_real_rows_in_order(real_rows):
    tensor = torch.arange(2 * 4 * 3).reshape(2, 4, 3)

    assert pack(tensor, real_rows)[:, 0].tolist() == [0, 3, 6, 12, 15]


def test_pack_takes_labels_too(real_rows):
    assert pack(torch.arange(8).reshape(2, 4), real_rows).tolist() == [0, 1, 2, 4, 5]


def test_pack_sends_no_gradient_to_padding(wave, real_rows):
    hidden_states = wave(2, 4, 3).requires_grad_()

    pack(hidden_states, real_rows).sum().backward()

    assert hidden_states.grad[..., 0].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0]]
