"""One function per op of docs/arithmetic.md, section 2: inputs by position, attributes by keyword, outputs in order.

Arrays carry their type (f32 numpy.float32, bf16 raw bits in numpy.uint16, i32 numpy.int32). OPS maps names to functions; OUTPUTS names what
each returns.
"""

import numpy as np

import functions
from numbers32 import F32, f32, fma, is_bf16, max32, rounded, to_bf16, widen
from sums import (SEGMENT, dot, dot_chain, finish, row, row_dot, row_segment, sample_ranges, sum_of, tokens, tree)

OPS = {}
OUTPUTS = {}
INPUTS = {}


def op(outputs, variadic=False):
    def register(function):
        code = function.__code__
        OPS[function.__name__] = function
        OUTPUTS[function.__name__] = outputs.split()
        INPUTS[function.__name__] = list(code.co_varnames[: code.co_argcount]) + (["sums"] if variadic else [])
        return function

    return register


def chain(terms):
    """acc = acc + x from +0, along axis 0."""
    acc = np.zeros(terms.shape[1:], F32)
    for term in terms:
        acc = acc + term
    return acc


# --- elementary -------------------------------------------------------------------------------------------------------------------------


@op("y")
def cast(x, *, to):
    return (to_bf16(x) if to == 1 else widen(x),)


@op("y")
def mxint8(x, *, to):
    y = np.empty(x.shape, F32)
    for first in range(0, x.shape[-1], 32):
        block = x[..., first : first + 32]
        exponent = (block.view(np.uint32) >> 23 & 255).max(-1, keepdims=True).astype(np.int32)
        scale = np.ldexp(F32(1), np.maximum(exponent - 6, 1) - 127).astype(F32)
        with np.errstate(all="ignore"):
            numbers = np.clip(np.rint(block / scale), F32(-127), F32(127))
        y[..., first : first + 32] = np.where(exponent == 255, F32(np.nan), numbers * scale + F32(0))
    return (to_bf16(y) if to == 1 else y,)


@op("y")
def add(a, b):
    return (a + b,)


@op("left right")
def split_columns(x, *, left):
    return x[:, :left].copy(), x[:, left:].copy()


@op("x")
def concat_columns(left, right):
    return (np.concatenate([left, right], axis=1),)


@op("y")
def gather_rows(x, rows):
    return (_rows_or_zeros(x, rows),)


def _rows_or_zeros(x, rows):
    out = np.zeros((len(rows),) + x.shape[1:], x.dtype)
    inside = (rows >= 0) & (rows < len(x))
    out[inside] = x[rows[inside]]
    return out


# --- embedding --------------------------------------------------------------------------------------------------------------------------


@op("y")
def embedding(table, ids, samples):
    return (_rows_or_zeros(table, ids),)


@op("dtable")
def embedding_backward(ids, dy, samples, *, vocabulary):
    dtable = np.zeros((vocabulary, dy.shape[1]), F32)
    for id in range(vocabulary):
        leaves = []
        for rows in sample_ranges(samples):
            mine = dy[rows][ids[rows] == id]
            leaves.append(sum_of(mine) if len(mine) else None)
        dtable[id] = finish(tree(leaves), (dy.shape[1],))
    return (dtable,)


# --- rms_norm ---------------------------------------------------------------------------------------------------------------------------


@op("y r")
def rms_norm(x, w, samples, *, eps):
    width = f32(x.shape[1])
    squares = row_dot(x.T, x.T)
    r = F32(1) / np.sqrt(squares / width + f32(eps))
    return (x * r[:, None]) * w, r


@op("dx")
def rms_norm_backward(x, w, r, dy):
    g = dy * w
    h = x * r[:, None]
    c = row_dot(g.T, h.T) / f32(x.shape[1])
    return (r[:, None] * fma(-h, c[:, None], g),)


@op("dw")
def rms_norm_weight_backward(x, r, dy, samples):
    h = x * r[:, None]
    return (tokens(samples, lambda rows: dot(dy[rows], h[rows], False), (x.shape[1],)),)


# --- linear -----------------------------------------------------------------------------------------------------------------------------


def _product(a, b, bf16):
    """[N, k] and [M, k] → [N, M], DOT over k."""
    return dot(a.T[:, :, None], b.T[:, None, :], bf16)


def _outer_over_rows(a, b, bf16):
    """[N, A] and [N, B] → [A, B], DOT over N."""
    return dot(a[:, :, None], b[:, None, :], bf16)


@op("y")
def linear(x, w, samples):
    return (_product(widen(x), widen(w), is_bf16(x)),)


@op("dx")
def linear_backward_input(dy, w):
    return (_product(widen(dy), widen(w).T, is_bf16(dy)),)


@op("dw")
def linear_backward_weight(dy, x, samples):
    bf16, dy, x = is_bf16(dy), widen(dy), widen(x)
    return (tokens(samples, lambda rows: _outer_over_rows(dy[rows], x[rows], bf16), (dy.shape[1], x.shape[1])),)


def _groups(experts, offsets):
    """Row ranges by [expert][sample]."""
    ranges = sample_ranges(offsets)
    count = len(ranges) // experts
    return [ranges[e * count : (e + 1) * count] for e in range(experts)]


@op("y")
def grouped_linear(x, w, offsets):
    bf16, x, w = is_bf16(x), widen(x), widen(w)
    y = np.zeros((len(x), w.shape[1]), F32)
    for e, groups in enumerate(_groups(len(w), offsets)):
        for rows in groups:
            y[rows] = _product(x[rows], w[e], bf16)
    return (y,)


@op("dx")
def grouped_linear_backward_input(dy, w, offsets):
    bf16, dy, w = is_bf16(dy), widen(dy), widen(w)
    dx = np.zeros((len(dy), w.shape[2]), F32)
    for e, groups in enumerate(_groups(len(w), offsets)):
        for rows in groups:
            dx[rows] = _product(dy[rows], w[e].T, bf16)
    return (dx,)


@op("dw")
def grouped_linear_backward_weight(dy, x, offsets, *, experts):
    bf16, dy, x = is_bf16(dy), widen(dy), widen(x)
    dw = np.zeros((experts, dy.shape[1], x.shape[1]), F32)
    for e, groups in enumerate(_groups(experts, offsets)):
        leaves = [_outer_over_rows(dy[rows], x[rows], bf16) if rows.stop > rows.start else None for rows in groups]
        dw[e] = finish(tree(leaves), dw[e].shape)
    return (dw,)


# --- rope -------------------------------------------------------------------------------------------------------------------------------


def _rope_pairs(x, positions, cos, sin, heads, offset):
    """Views of the pairs (a, b) of every head [N, heads, r/2], and their c and s."""
    place = np.clip(positions, 0, len(cos) - 1)
    by_head = x.reshape(len(x), heads, -1)
    end = offset + 2 * cos.shape[1]
    return by_head, by_head[:, :, offset:end:2], by_head[:, :, offset + 1 : end : 2], cos[place][:, None, :], sin[place][:, None, :]


@op("y")
def rope(x, positions, cos, sin, *, heads, offset):
    by_head, a, b, c, s = _rope_pairs(x.copy(), positions, cos, sin, heads, offset)
    a_next, b_next = fma(a, c, -(b * s)), fma(a, s, b * c)
    a[...], b[...] = a_next, b_next
    return (by_head.reshape(x.shape),)


@op("dx")
def rope_backward(dy, positions, cos, sin, *, heads, offset):
    by_head, a, b, c, s = _rope_pairs(dy.copy(), positions, cos, sin, heads, offset)
    a_next, b_next = fma(a, c, b * s), fma(b, c, -(a * s))
    a[...], b[...] = a_next, b_next
    return (by_head.reshape(dy.shape),)


# --- attention --------------------------------------------------------------------------------------------------------------------------


def _scores(q, key, scale, bf16):
    """[T, dq] and [J, dq] → z [J, T]: the key index first, as every sum over keys wants it."""
    return dot(key.T[:, :, None], q.T[:, None, :], bf16) * f32(scale)


def _row_maximum(z, visible):
    """Over axis 0, of the visible."""
    m = None
    for i in range(len(z)):
        taken = z[i] if m is None else max32(m, z[i])
        m = max32(taken, taken) if m is None else np.where(visible[i], taken, m)
    return m


def _join_attention(left, right):
    m1, l1, o1 = left
    m2, l2, o2 = right
    m = max32(m1, m2)
    a1, a2 = functions.exp(m1 - m), functions.exp(m2 - m)
    return m, fma(l1, a1, l2 * a2), fma(o1, a1, o2 * a2)


def _attend(z, value, bf16):
    """One query's scores z [J] over all its visible keys, values [J, v] → o, m, l; o divided."""
    leaves = []
    for begin in range(0, len(z), SEGMENT):
        scores, values = z[begin : begin + SEGMENT], value[begin : begin + SEGMENT]
        m = _row_maximum(scores, np.ones(len(scores), bool))
        p = functions.exp(scores - m)
        leaves.append((m, row_segment(p), dot_chain(rounded(p, bf16)[:, None], values, bf16)))
    m, l, o = tree(leaves, _join_attention)
    l, o = finish(l), finish(o)
    return o / l, m, l


def _heads(x, heads):
    return widen(x).reshape(x.shape[:-1] + (heads, -1))


def _keys_and_values(kv, k_pe, heads, nope):
    """kv [..., H·(n+v)], k_pe [..., r] → keys [..., H, n+r], values [..., H, v]."""
    by_head = _heads(kv, heads)
    rotary = np.broadcast_to(widen(k_pe)[..., None, :], by_head.shape[:-1] + (k_pe.shape[-1],))
    return np.concatenate([by_head[..., :nope], rotary], axis=-1), by_head[..., nope:]


@op("o m l")
def attention(q, kv, k_pe, samples, *, heads, nope, value, scale):
    bf16, rows_count = is_bf16(q), len(q)
    query = _heads(q, heads)
    keys, values = _keys_and_values(kv, k_pe, heads, nope)
    o = np.zeros((rows_count, heads, value), F32)
    m = np.zeros((rows_count, heads), F32)
    l = np.zeros((rows_count, heads), F32)
    for rows in sample_ranges(samples):
        for h in range(heads):
            z = _scores(query[rows, h], keys[rows, h], scale, bf16)
            for t in range(z.shape[1]):
                at = rows.start + t
                o[at, h], m[at, h], l[at, h] = _attend(z[: t + 1, t], values[rows, h][: t + 1], bf16)
    return o.reshape(rows_count, -1), m, l


@op("dq dkv dk_pe")
def attention_backward(q, kv, k_pe, o, m, l, do, samples, *, heads, nope, value, scale):
    bf16, rows_count = is_bf16(q), len(q)
    query = _heads(q, heads)
    keys, values = _keys_and_values(kv, k_pe, heads, nope)
    o, do = _heads(o, heads), _heads(do, heads)
    do_cast = rounded(do, bf16)
    dq = np.zeros(query.shape, F32)
    dkv = np.zeros((rows_count, heads, nope + value), F32)
    dk_pe = np.zeros(k_pe.shape, F32)
    for rows in sample_ranges(samples):
        if rows.stop == rows.start:
            continue
        count = rows.stop - rows.start
        visible = np.arange(count)[:, None] <= np.arange(count)[None, :]  # [key, query]
        rotary = []
        for h in range(heads):
            z = _scores(query[rows, h], keys[rows, h], scale, bf16)
            p = functions.exp(z - m[rows, h]) / l[rows, h]
            d = row_dot(do[rows, h].T, o[rows, h].T)
            dp = dot(values[rows, h].T[:, :, None], do_cast[rows, h].T[:, None, :], bf16)
            ds = rounded((p * (dp - d)) * f32(scale), bf16)
            p = rounded(p, bf16)
            dq[rows, h] = dot(ds[:, :, None], keys[rows, h][:, None, :], bf16, visible[:, :, None])
            dk = dot(ds.T[:, :, None], query[rows, h][:, None, :], bf16, visible.T[:, :, None])
            dkv[rows, h, :nope] = dk[:, :nope]
            dkv[rows, h, nope:] = dot(p.T[:, :, None], do_cast[rows, h][:, None, :], bf16, visible.T[:, :, None])
            rotary.append(dk[:, nope:])
        dk_pe[rows] = chain(np.stack(rotary))
    return dq.reshape(rows_count, -1), dkv.reshape(rows_count, -1), dk_pe


# --- swiglu -----------------------------------------------------------------------------------------------------------------------------


@op("y")
def swiglu(gate, up):
    return ((gate * functions.sigmoid(gate)) * up,)


@op("dgate dup")
def swiglu_backward(gate, up, dy):
    s = functions.sigmoid(gate)
    return (dy * up) * (s * fma(gate, F32(1) - s, F32(1))), dy * (gate * s)


# --- router -----------------------------------------------------------------------------------------------------------------------------


def _best(values, count):
    """Indices of the `count` largest, ties to the lower index."""
    return sorted(range(len(values)), key=lambda i: (-float(values[i]), i))[:count]


def _group_score(choice):
    largest = _best(choice, 2)
    return choice[largest[0]] if len(largest) == 1 else choice[largest[0]] + choice[largest[1]]


@op("experts weights")
def router(logits, bias, *, top_k, groups, top_groups, normalize, scaling):
    s = functions.sigmoid(logits)
    choice = s + bias
    choice = np.where(np.isnan(choice), F32(-np.inf), choice)
    experts = np.zeros((len(logits), top_k), np.int32)
    for t in range(len(logits)):
        allowed = list(range(logits.shape[1]))
        if groups > 1:
            width = logits.shape[1] // groups
            scores = np.array([_group_score(choice[t, g * width : (g + 1) * width]) for g in range(groups)], F32)
            scores = np.where(np.isnan(scores), F32(-np.inf), scores)
            allowed = [g * width + i for g in sorted(_best(scores, top_groups)) for i in range(width)]
        experts[t] = sorted(allowed[i] for i in _best(choice[t, allowed], top_k))
    chosen = np.take_along_axis(s, experts.astype(np.int64), axis=1)
    if normalize:
        chosen = chosen / (chain(chosen.T) + F32(1e-20))[:, None]
    return experts, chosen * f32(scaling)


@op("dlogits")
def router_backward(logits, experts, dweights, *, normalize, scaling):
    where = experts.astype(np.int64)
    s = np.take_along_axis(functions.sigmoid(logits), where, axis=1)
    if normalize:
        q = (chain(s.T) + F32(1e-20))[:, None]
        u = np.zeros(len(s), F32)
        for k in range(s.shape[1]):
            u = fma(s[:, k] / q[:, 0], dweights[:, k], u)
        ds = (f32(scaling) / q) * (dweights - u[:, None])
    else:
        ds = f32(scaling) * dweights
    dlogits = np.zeros(logits.shape, F32)
    np.put_along_axis(dlogits, where, ds * (s * (F32(1) - s)), axis=1)
    return (dlogits,)


@op("bias_next")
def router_bias_update(bias, counts, speed):
    counts = counts.astype(np.int64)
    sign = np.sign(counts.sum() - len(counts) * counts)
    return (bias + speed * (f32(sign) - f32(sign.sum()) / f32(len(counts))),)


# --- balance loss -----------------------------------------------------------------------------------------------------------------------


def _balance(logits, experts):
    """Of one sample: s, q, h, f."""
    rows, expert_count = logits.shape
    s = functions.sigmoid(logits)
    q = row(s.T)
    h = s / q[:, None]
    counts = np.bincount(experts.reshape(-1), minlength=expert_count).astype(np.int64)
    return s, q, h, f32(expert_count * counts) / f32(experts.shape[1] * rows)


@op("loss")
def balance_loss(logits, experts, samples, weight):
    leaves = []
    for rows in sample_ranges(samples):
        if rows.stop == rows.start:
            leaves.append(None)
            continue
        _, _, h, f = _balance(logits[rows], experts[rows])
        leaves.append(row_dot(f, sum_of(h) / f32(len(h))))
    return (finish(tree(leaves)) * weight,)


@op("dlogits")
def balance_loss_backward(logits, experts, samples, weight):
    dlogits = np.zeros(logits.shape, F32)
    for rows in sample_ranges(samples):
        if rows.stop == rows.start:
            continue
        s, q, h, f = _balance(logits[rows], experts[rows])
        w = (f / f32(len(h))) * weight
        u = row_dot(np.broadcast_to(w, h.shape).T, h.T)
        dlogits[rows] = ((w - u[:, None]) / q[:, None]) * (s * (F32(1) - s))
    return (dlogits,)


# --- dispatch and combine ---------------------------------------------------------------------------------------------------------------


@op("offsets row_of_slot slot_of_row counts")
def dispatch_plan(experts_of_token, samples, *, experts):
    tokens_count, top_k = experts_of_token.shape
    offsets, row_of_slot = [0], np.full((tokens_count, top_k), -1, np.int32)
    slot_of_row = np.full(tokens_count * top_k, -1, np.int32)
    counts = np.zeros(experts, np.int32)
    for e in range(experts):
        for rows in sample_ranges(samples):
            for t in range(rows.start, rows.stop):
                for k in range(top_k):
                    if experts_of_token[t, k] == e:
                        place = int(counts.sum())
                        row_of_slot[t, k] = place
                        slot_of_row[place] = t * top_k + k
                        counts[e] += 1
            offsets.append(int(counts.sum()))
    return np.array(offsets, np.int32), row_of_slot, slot_of_row, counts


INPUTS["dispatch_plan"] = ["experts", "samples"]


@op("y")
def dispatch(x, slot_of_row, row_of_slot, *, top_k):
    return (_rows_or_zeros(x, np.where(slot_of_row < 0, -1, slot_of_row // top_k)),)


@op("dx")
def dispatch_backward(dy, row_of_slot):
    acc = np.zeros((len(row_of_slot), dy.shape[1]), F32)
    for k in range(row_of_slot.shape[1]):
        place = row_of_slot[:, k]
        acc = np.where((place >= 0)[:, None], acc + _rows_or_zeros(dy, place), acc)
    return (finish(acc),)


@op("x")
def combine(y, weights, row_of_slot, slot_of_row):
    acc = np.zeros((len(row_of_slot), y.shape[1]), F32)
    for k in range(row_of_slot.shape[1]):
        place = row_of_slot[:, k]
        acc = np.where((place >= 0)[:, None], fma(weights[:, k, None], _rows_or_zeros(y, place), acc), acc)
    return (finish(acc),)


@op("dy dweights")
def combine_backward(y, weights, row_of_slot, slot_of_row, dx):
    top_k = weights.shape[1]
    dy = np.zeros(y.shape, F32)
    for place, slot in enumerate(slot_of_row):
        if slot >= 0:
            dy[place] = weights[slot // top_k, slot % top_k] * dx[slot // top_k]
    dweights = np.zeros(weights.shape, F32)
    for t, k in np.ndindex(*weights.shape):
        if row_of_slot[t, k] >= 0:
            dweights[t, k] = row_dot(dx[t], y[row_of_slot[t, k]])
    return dy, dweights


# --- losses -----------------------------------------------------------------------------------------------------------------------------


@op("lse")
def log_sum_exp(logits):
    m = _row_maximum(logits.T, np.ones(logits.T.shape, bool))
    return (m + functions.log(row(functions.exp(logits - m[:, None]).T)),)


def _labelled(logits, labels):
    inside = (labels >= 0) & (labels < logits.shape[1])
    return inside, np.where(inside, labels, 0)


@op("logprob loss")
def cross_entropy(logits, lse, labels, weights, samples):
    inside, label = _labelled(logits, labels)
    logprob = np.where(inside, logits[np.arange(len(label)), label] - lse, F32(0))
    loss = tokens(samples, lambda rows: dot(weights[rows], -logprob[rows], False, inside[rows]), ())
    return logprob, loss.reshape(1)


@op("dlogits")
def cross_entropy_backward(logits, lse, labels, weights):
    inside, _ = _labelled(logits, labels)
    p = functions.exp(logits - lse[:, None])
    hit = f32(np.arange(logits.shape[1])[None, :] == labels[:, None])
    return (np.where(inside[:, None], (p - hit) * weights[:, None], F32(0)),)


# --- optimizer --------------------------------------------------------------------------------------------------------------------------


@op("y")
def sum_of_squares(x):
    flat = x.reshape(-1)
    return (row_dot(flat, flat).reshape(1),)


@op("norm scale", variadic=True)
def global_norm(*sums, clip):
    norm = np.sqrt(chain(np.stack(sums)))
    clip = f32(clip)
    if not clip > 0:
        return norm, np.ones(1, F32)
    q = clip / norm
    return norm, np.where(np.isnan(q) | (q < 1), q, F32(1))


@op("w_next m_next v_next")
def adamw(w, m, v, g, scale, lr, c1, c2, *, beta1, beta2, eps, decay):
    g = g * scale
    m = fma(f32(1.0 - beta1), g, f32(beta1) * m)
    v = fma(f32(1.0 - beta2), g * g, f32(beta2) * v)
    u = (m / c1) / (np.sqrt(v / c2) + f32(eps))
    return fma(-lr, u, w * (F32(1) - lr * f32(decay))), m, v


# --- decode -----------------------------------------------------------------------------------------------------------------------------


@op("cache")
def cache_write(cache, rows, slots, positions, *, streams, capacity):
    cache = cache.copy()
    for row_values, slot, position in zip(rows, slots, positions):
        if _in_cache(cache, slot, position):
            cache[slot, position] = row_values
    return (cache,)


def _in_cache(cache, slot, position):
    return 0 <= slot < cache.shape[0] and 0 <= position < cache.shape[1]


def _cached(query, cache, keys_values, slots, positions, scale, bf16, value):
    """query [N, H, k]; keys_values(stream, h) → keys, values of its cache → o [N, H·value]."""
    o = np.zeros(query.shape[:2] + (value,), F32)
    for t, (slot, position) in enumerate(zip(slots, positions)):
        if not _in_cache(cache, slot, position):
            continue
        for h in range(query.shape[1]):
            keys, values = keys_values(slot, h)
            visible = slice(0, position + 1)
            z = _scores(query[t : t + 1, h], keys[visible], scale, bf16)[:, 0]
            o[t, h] = _attend(z, values[visible], bf16)[0]
    return o.reshape(len(o), -1)


@op("o")
def attention_cached(q, kv, k_pe, slots, positions, *, heads, nope, value, scale):
    keys, values = _keys_and_values(kv, k_pe, heads, nope)
    pick = lambda slot, h: (keys[slot, :, h], values[slot, :, h])
    return (_cached(_heads(q, heads), kv, pick, slots, positions, scale, is_bf16(q), value),)


@op("y")
def absorb_query(q, w, *, heads, nope, value):
    bf16, query, weight = is_bf16(q), _heads(q, heads), widen(w)
    parts = []
    for h in range(heads):
        begin = h * (nope + value)
        parts += [_product(query[:, h, :nope], weight[begin : begin + nope].T, bf16), query[:, h, nope:]]
    return (np.concatenate(parts, axis=1),)


@op("o")
def attention_latent(q, latent, k_pe, slots, positions, table, *, heads, scale):
    pages, page, width = latent.shape
    # A missing page is out of everybody's sight: a row that needs one counts as padding.
    missing = [next((b for b, p in enumerate(row) if not 0 <= p < pages), len(row)) for row in table]
    slots = [s if 0 <= s < len(table) and p < missing[s] * page else -1 for s, p in zip(slots, positions)]
    streams = lambda cache: widen(cache)[np.clip(table, 0, pages - 1)].reshape(len(table), -1, cache.shape[-1])
    values = streams(latent)
    keys = np.concatenate([values, streams(k_pe)], axis=-1)
    pick = lambda slot, h: (keys[slot], values[slot])
    return (_cached(_heads(q, heads), values, pick, slots, positions, scale, is_bf16(q), width),)


@op("o")
def absorb_value(x, w, *, heads, nope, value):
    bf16, latent, weight = is_bf16(x), _heads(x, heads), widen(w)
    parts = []
    for h in range(heads):
        begin = h * (nope + value) + nope
        parts.append(_product(latent[:, h], weight[begin : begin + value], bf16))
    return (np.concatenate(parts, axis=1),)
