// W in a buffer, four weights at a time.
@group(0) @binding(2) var<storage, read> weight: array<Weight4>;
