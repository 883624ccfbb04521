package munin

import (
	"cmp"
	"slices"
	"strings"
)

// mostAlike is how many proposals somebody who mistyped a name wants to read.
const mostAlike = 3

// Alike proposes which of the known names may have been meant by one that is none of them, the likeliest first and at most three: names
// that begin with it, as the full name of a host does, names that hold it, and names of which some letters are mistyped.
func Alike(name string, known []string) []string {
	const begins, holds, longest = 0, 1, 300
	type proposal struct {
		name string
		far  int
	}
	wanted := strings.ToLower(name)
	if wanted == "" || len(wanted) > longest {
		return nil
	}
	most := max(1, len(wanted)/4) // letters that may be wrong
	var found []proposal
	for _, k := range known {
		candidate := strings.ToLower(k)
		switch {
		case strings.HasPrefix(candidate, wanted):
			found = append(found, proposal{k, begins})
		case strings.Contains(candidate, wanted):
			found = append(found, proposal{k, holds})
		default:
			if d := EditDistance(wanted, candidate, most); d <= most {
				found = append(found, proposal{k, holds + d})
			}
		}
	}
	slices.SortFunc(found, func(a, b proposal) int { return cmp.Or(a.far-b.far, strings.Compare(a.name, b.name)) })
	out := make([]string, 0, mostAlike)
	for _, p := range found[:min(len(found), mostAlike)] {
		if p.far <= found[0].far+1 {
			out = append(out, p.name)
		}
	}
	return out
}

// EditDistance counts the bytes to insert, remove or change to make b of a, two neighbours that changed places being one. Where there are more
// than most, it is most + 1.
func EditDistance(a, b string, most int) int {
	if d := len(a) - len(b); d > most || -d > most {
		return most + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		if least > most {
			return most + 1
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], most+1)
}
