package text

import "strings"

// Nearest returns the candidate that is most similar to a misspelled name, or "" if none
// is. It ignores case.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", min(len(name)/2, 3)+1
	for _, c := range candidates {
		if max(len(name), len(c)) > 64 {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(c)); c != name && d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance returns the number of single-letter changes and swaps of adjacent letters that
// turn a into b (the optimal string alignment distance).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
