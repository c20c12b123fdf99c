//! Attention over images: where on a map to look, and sampling of several maps.

pub mod deformable_attention;
pub mod spatial_attention;
