// Which keys a query may attend to, and what is added to their scores. Decided on the masks, never on a score.

#import attention/parameters
#import kinds
#import tanh

// What all queries of a head have alike.
struct Head {
    // The factor of products.
    scale: f32,
    slope: f32,
    // Where its biases by distance begin.
    relative: u32,
}

fn head_of(head: u32) -> Head {
    var own: Head;
    own.scale = parameters.scale;
    if (parameters.scales_at != NONE) {
        own.scale = own.scale * head_terms[parameters.scales_at + head];
    }
    own.slope = 0.0;
    if (parameters.slopes_at != NONE) {
        own.slope = head_terms[parameters.slopes_at + head];
    }
    own.relative = 0u;
    if (parameters.relative_at != NONE) {
        own.relative = parameters.relative_at + head * (2u * parameters.relative_reach + 1u);
    }
    return own;
}

struct Row {
    // The keys that the band and the length allow.
    begin: u32,
    end: u32,
    // Where the query stands among the keys.
    position: i32,
    head: Head,
    // Where the row of the mask and that of the key padding mask begin.
    mask_start: u32,
    padding_start: u32,
}

fn row_of_query(span: Span, batch: u32, head: u32, query: u32) -> Row {
    var row: Row;
    let band = band_of_query(span, query);
    row.begin = band.begin;
    row.end = band.end;
    row.position = band.position;
    row.head = head_of(head);
    row.mask_start = batch * parameters.mask_batch + head * parameters.mask_head + query * parameters.mask_row;
    row.padding_start = batch * parameters.key_length;
    return row;
}

fn allowed(row: Row, key: u32) -> bool {
    if (key < row.begin || key >= row.end) {
        return false;
    }
    if (parameters.key_padding == 2u && items[row.padding_start + key] == 0u) {
        return false;
    }
    if (parameters.mask_kind == 0u) {
        return true;
    }
    let word = mask[row.mask_start + key * parameters.mask_column];
    return select(word != NEGATIVE_INFINITY_BITS, word != 0u, parameters.mask_kind == 1u);
}

fn softcapped(score: f32) -> f32 {
    // A driver's exp may make a number of a NaN.
    if (parameters.softcap == 0.0 || (bitcast<u32>(score) & 0x7fffffffu) > INFINITY_BITS) {
        return score;
    }
    return parameters.softcap * tanh_stable(score / parameters.softcap);
}

// The head's bias for the distance from the query's position to a key; further away it is that of the reach.
fn relative_bias(row: Row, key: u32) -> f32 {
    let reach = i32(parameters.relative_reach);
    return head_terms[row.head.relative + u32(clamp(i32(key) - row.position, -reach, reach) + reach)];
}

// For allowed keys.
fn biased(row: Row, key: u32, score: f32) -> f32 {
    var logit = score;
    if (parameters.slopes_at != NONE) {
        logit = logit - row.head.slope * f32(abs(row.position - i32(key)));
    }
    if (parameters.relative_at != NONE) {
        logit = logit + relative_bias(row, key);
    }
    if (parameters.mask_kind == 2u) {
        logit = logit + bitcast<f32>(mask[row.mask_start + key * parameters.mask_column]);
    }
    return logit;
}

// The logit of an allowed key from its product q · k.
fn logit_of(row: Row, key: u32, product: f32) -> f32 {
    return biased(row, key, softcapped(product * row.head.scale));
}
