package munin_test

import (
	"strings"
	"testing"

	"corbie/munin"
)

func TestAlikeNamesAreProposedTheLikeliestFirst(t *testing.T) {
	known := []string{"www1.example.com", "www2.example.com", "www10.example.com", "db1.example.com", "mail", "web;app1"}
	for _, c := range []struct{ typed, want string }{
		{"www1", "www1.example.com www10.example.com"}, // equal letters: by name
		{"ww1.example.com", "www1.example.com"},
		{"WWW2.example.com", "www2.example.com"},
		{"wwwq.example.com", "www1.example.com www2.example.com www10.example.com"},
		{"mial", "mail"},
		{"app1", "web;app1"},
		{"nothing-like-it", ""},
		{"", ""},
		{strings.Repeat("x", 1<<20), ""},
	} {
		got := munin.Alike(c.typed, known)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%.40q: got %q, want %q", c.typed, strings.Join(got, " "), c.want)
		}
	}
}
