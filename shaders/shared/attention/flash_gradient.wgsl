// What `flash_query_gradient` and `flash_key_gradient` share: of a square of queries and keys the weights P, or the gradient of the products
// q · k, P · (u·v − D) · scale · softcap′, with u the output's gradient and D = u · output. `flash_gradient_rows` has written what they take of each
// query, and it stands behind the heads' terms: the largest logit, the factor of its weights, and D.

#import attention/flash_logits
#import attention/flash_panels
#import attention/masking
#import attention/parameters
#import attention/upstream
#import attention/values
#import kinds

// u · v of the square.
fn upstream_value_products(square: Square, invocation: u32) -> Products {
    var products: Products;
    let base = output_place(square.batch, square.head, square.first_query);
    let depth4 = (parameters.value_dim + 3u) / 4u;
    for (var d4 = 0u; d4 < depth4; d4 = d4 + PANEL) {
        for (var element = invocation; element < ROWS * PANEL; element = element + LANES) {
            let row = element / PANEL;
            let first = 4u * (d4 + element % PANEL);
            let query = min(row, square.queries - 1u);
            left_panel[element] = upstream_block(base + query * parameters.output_row, first, parameters.value_dim);
            let key = min(square.first_key + row, square.span.keys - 1u);
            right_panel[element] = v_block(v_place(square.batch, square.key_head, key), first, parameters.value_dim);
        }
        workgroupBarrier();
        products = with_panel(products, invocation);
        workgroupBarrier();
    }
    return products;
}

// The slope of the softcap at scaled scores, 1 − tanh², written so that it does not cancel.
fn softcap_slopes(scores: vec4<f32>) -> vec4<f32> {
    let e = exp(-2.0 * abs(scores / parameters.softcap));
    return 4.0 * e / ((1.0 + e) * (1.0 + e));
}

// Fills score_tile: with weights for the gradient of values, else with the products' gradients. 0 for keys that are masked out,
// whatever lies there, and for rows past the square's queries. Two lanes share a row, each with every other 4 keys of it.
fn fill_tile(square: Square, invocation: u32) {
    var of_weights: Products;
    if (!OF_VALUES) {
        of_weights = upstream_value_products(square, invocation);
    }
    put_products(query_key_products(square, invocation), invocation);
    if (!OF_VALUES) {
        // The panel is free, and as large as a tile.
        let place = 4u * (invocation / 8u) * 8u + invocation % 8u;
        left_panel[place] = of_weights.row0;
        left_panel[place + 8u] = of_weights.row1;
        left_panel[place + 16u] = of_weights.row2;
        left_panel[place + 24u] = of_weights.row3;
    }
    workgroupBarrier();
    let own_row = invocation / 2u;
    let query = square.first_query + min(own_row, square.queries - 1u);
    let own = row_of_query(square.span, square.batch, square.head, query);
    let row = (square.batch * parameters.heads + square.head) * parameters.query_length + query;
    let at = parameters.sums_offset + 3u * row;
    let largest = head_terms[at];
    let factor = head_terms[at + 1u];
    let mean = head_terms[at + 2u];
    for (var key4 = invocation % 2u; key4 < KEYS / 4u; key4 = key4 + 2u) {
        let place = own_row * 8u + key4;
        let products = bitcast<vec4<f32>>(score_tile[place]);
        let words = masked_logits(own, square.first_key + 4u * key4, products);
        // A logit that is no number has a weight of 0, and of NaN where it makes the row NaN: then the factor is.
        let taken = have_weights(words) | ((words & vec4<u32>(3u)) != vec4<u32>(NOTHING));
        let weights = select(vec4<f32>(), weights_of(words, largest) * factor, taken);
        var values = weights;
        if (!OF_VALUES) {
            values = weights * (left_panel[place] - mean) * own.head.scale;
            if (parameters.softcap != 0.0) {
                values = values * softcap_slopes(products * own.head.scale);
            }
            values = select(values, vec4<f32>(), weights == vec4<f32>());
        }
        score_tile[place] = bitcast<vec4<u32>>(select(vec4<f32>(), values, own_row < square.queries));
    }
    workgroupBarrier();
}
