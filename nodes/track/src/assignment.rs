//! Optimal assignment of rows to columns with a limit on the cost of a pair.

/// Assigns each row to at most one column so that the sum of costs is smallest, where leaving a row alone costs `limit`.
///
/// `cost(row, column)` is asked once per pair; a pair dearer than `limit` is never made. Returns the column of each row.
/// Equal sums are decided by the order of rows and columns, so the same input always gives the same answer.
///
/// Hungarian algorithm with potentials, `O(rows^2 * (rows + columns))`; each row has a column of its own that means "alone".
pub fn assign(rows: usize, columns: usize, limit: f64, cost: impl Fn(usize, usize) -> f64) -> Vec<Option<usize>> {
    if rows == 0 {
        return Vec::new();
    }
    // Dearer than any sum of allowed costs, and still exact in f64.
    let forbidden = (limit + 1.0) * (rows as f64 + 1.0) * 4.0;
    let width = columns + rows;
    let mut matrix = vec![forbidden; rows * width];
    for r in 0..rows {
        for c in 0..columns {
            let value = cost(r, c);
            if value <= limit {
                matrix[r * width + c] = value;
            }
        }
        matrix[r * width + columns + r] = limit;
    }
    let owner = solve(&matrix, rows, width);
    let mut result = vec![None; rows];
    for (column, row) in owner.into_iter().enumerate().take(columns) {
        if let Some(row) = row
            && matrix[row * width + column] <= limit
        {
            result[row] = Some(column);
        }
    }
    result
}

/// Owner of each column, for `rows <= width`. Index 0 is the virtual start, as in the usual 1-based formulation.
fn solve(matrix: &[f64], rows: usize, width: usize) -> Vec<Option<usize>> {
    let mut u = vec![0.0; rows + 1];
    let mut v = vec![0.0; width + 1];
    let mut owner = vec![0_usize; width + 1];
    let mut way = vec![0_usize; width + 1];
    for row in 1..=rows {
        owner[0] = row;
        let mut column = 0;
        let mut smallest = vec![f64::INFINITY; width + 1];
        let mut used = vec![false; width + 1];
        loop {
            used[column] = true;
            let current = owner[column];
            let (mut delta, mut next) = (f64::INFINITY, 0);
            for c in 1..=width {
                if used[c] {
                    continue;
                }
                let reduced = matrix[(current - 1) * width + c - 1] - u[current] - v[c];
                if reduced < smallest[c] {
                    smallest[c] = reduced;
                    way[c] = column;
                }
                if smallest[c] < delta {
                    delta = smallest[c];
                    next = c;
                }
            }
            for c in 0..=width {
                if used[c] {
                    u[owner[c]] += delta;
                    v[c] -= delta;
                } else {
                    smallest[c] -= delta;
                }
            }
            column = next;
            if owner[column] == 0 {
                break;
            }
        }
        while column != 0 {
            owner[column] = owner[way[column]];
            column = way[column];
        }
    }
    owner.into_iter().skip(1).map(|r| r.checked_sub(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::assign;
    use proptest::prelude::*;

    #[test]
    fn prefers_the_smaller_sum_over_the_nearest_pair() {
        // Greedy takes (0, 0) for 0.1 and leaves 0.9 for the other; the best sum is 0.2 + 0.2.
        let costs = [[0.1, 0.2], [0.2, 0.9]];
        assert_eq!(assign(2, 2, 1.0, |r, c| costs[r][c]), [Some(1), Some(0)]);
    }

    #[test]
    fn leaves_rows_alone_beyond_the_limit() {
        let costs = [[0.9, 0.95], [0.3, 0.2]];
        assert_eq!(assign(2, 2, 0.5, |r, c| costs[r][c]), [None, Some(1)]);
        assert_eq!(assign(2, 0, 0.5, |_, _| 0.0), [None, None]);
        assert!(assign(0, 3, 0.5, |_, _| 0.0).is_empty());
    }

    fn best_by_trying_all(costs: &[Vec<f64>], limit: f64, row: usize, taken: u32) -> f64 {
        if row == costs.len() {
            return 0.0;
        }
        let mut best = limit + best_by_trying_all(costs, limit, row + 1, taken);
        for (c, &value) in costs[row].iter().enumerate() {
            if value <= limit && taken & (1 << c) == 0 {
                best = best.min(value + best_by_trying_all(costs, limit, row + 1, taken | (1 << c)));
            }
        }
        best
    }

    proptest! {
        #[test]
        fn is_as_cheap_as_the_best_of_all_assignments(rows in 1_usize..5, columns in 0_usize..5, seed in prop::collection::vec(0_u32..1000, 25)) {
            let costs: Vec<Vec<f64>> = (0..rows).map(|r| (0..columns).map(|c| f64::from(seed[r * 5 + c]) / 1000.0).collect()).collect();
            let limit = 0.7;
            let found = assign(rows, columns, limit, |r, c| costs[r][c]);
            let sum: f64 = found.iter().enumerate().map(|(r, c)| c.map_or(limit, |c| costs[r][c])).sum();
            let mut columns_used: Vec<usize> = found.iter().flatten().copied().collect();
            columns_used.sort_unstable();
            columns_used.dedup();
            prop_assert_eq!(columns_used.len(), found.iter().flatten().count());
            prop_assert!((sum - best_by_trying_all(&costs, limit, 0, 0)).abs() < 1e-9);
        }
    }
}
