// Matrices of 8 × 8 that a subgroup holds together: f16 factors, f32 sums.
alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sums = coop_mat8x8<f32, C>;
