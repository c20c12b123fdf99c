// What is left of an element's number once the axes behind are taken from it, and the place that they have led to.
struct Walk {
    rest: u32,
    place: u32,
}

fn walk_axis(walk: Walk, size: u32, stride: u32) -> Walk {
    return Walk(walk.rest / size, walk.place + walk.rest % size * stride);
}
