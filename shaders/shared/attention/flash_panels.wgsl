// How the kernels of fused attention's gradient multiply 32 queries of a head by 32 keys: panels of their rows in workgroup memory,
// and 4 × 4 products for each of 64 invocations, as `flash_tiled` has them.

#import attention/keys
#import attention/parameters
#import attention/queries

const ROWS: u32 = 32u;
const KEYS: u32 = 32u;
// vec4s of a row in one panel.
const PANEL: u32 = 8u;
const LANES: u32 = 64u;

// Of queries, or of the output's gradient.
var<workgroup> left_panel: array<vec4<f32>, ROWS * PANEL>;
// Of keys, or of values.
var<workgroup> right_panel: array<vec4<f32>, KEYS * PANEL>;
// What stands between 4 keys and a row, as bits, [row][key / 4].
var<workgroup> score_tile: array<vec4<u32>, ROWS * KEYS / 4u>;

// Some queries of a head and the keys from `first_key` on, 32 of each at most.
struct Square {
    batch: u32,
    head: u32,
    key_head: u32,
    first_query: u32,
    queries: u32,
    first_key: u32,
    // Of the item, so that no key beyond is read.
    span: Span,
}

// Of four queries with four keys each.
struct Products {
    row0: vec4<f32>,
    row1: vec4<f32>,
    row2: vec4<f32>,
    row3: vec4<f32>,
}

fn dots(left: vec4<f32>, place: u32) -> vec4<f32> {
    return vec4<f32>(
        dot(left, right_panel[place]),
        dot(left, right_panel[place + PANEL]),
        dot(left, right_panel[place + 2u * PANEL]),
        dot(left, right_panel[place + 3u * PANEL]),
    );
}

// The products with those of one panel added.
fn with_panel(before: Products, invocation: u32) -> Products {
    let row = 4u * (invocation / 8u);
    var sums = before;
    for (var c = 0u; c < PANEL; c = c + 1u) {
        let place = 4u * (invocation % 8u) * PANEL + c;
        sums.row0 += dots(left_panel[row * PANEL + c], place);
        sums.row1 += dots(left_panel[(row + 1u) * PANEL + c], place);
        sums.row2 += dots(left_panel[(row + 2u) * PANEL + c], place);
        sums.row3 += dots(left_panel[(row + 3u) * PANEL + c], place);
    }
    return sums;
}

// q · k of the square. Barriers stand behind each panel, so that the panels are free at the end.
fn query_key_products(square: Square, invocation: u32) -> Products {
    var products: Products;
    let q_base = q_place(square.batch, square.head, square.first_query);
    let depth4 = (parameters.head_dim + 3u) / 4u;
    for (var d4 = 0u; d4 < depth4; d4 = d4 + PANEL) {
        for (var element = invocation; element < ROWS * PANEL; element = element + LANES) {
            let row = element / PANEL;
            let first = 4u * (d4 + element % PANEL);
            let query = min(row, square.queries - 1u);
            left_panel[element] = q_block(q_base + query * parameters.q_row, first, parameters.head_dim);
            let key = min(square.first_key + row, square.span.keys - 1u);
            right_panel[element] = k_block(k_place(square.batch, square.key_head, key), first, parameters.head_dim);
        }
        workgroupBarrier();
        products = with_panel(products, invocation);
        workgroupBarrier();
    }
    return products;
}

fn put_products(products: Products, invocation: u32) {
    let place = 4u * (invocation / 8u) * 8u + invocation % 8u;
    score_tile[place] = bitcast<vec4<u32>>(products.row0);
    score_tile[place + 8u] = bitcast<vec4<u32>>(products.row1);
    score_tile[place + 16u] = bitcast<vec4<u32>>(products.row2);
    score_tile[place + 24u] = bitcast<vec4<u32>>(products.row3);
}
