// Matrices of 16 × 16 that a subgroup holds together: f16 factors, f32 sums.
alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;
