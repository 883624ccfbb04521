package route

import (
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/common/model"

	"corbie/munin"
)

// Rename makes the silences that name a host, graph or field by an old name hold for the new one as well. Those for
// groups, and those with regular expressions, are left as they are.
func (r *Router) Rename(ctx context.Context, from, to munin.SeriesID) error {
	all, err := r.Silences(ctx)
	if err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, to, err)
	}
	for i := range all {
		copied, ok := all[i].renamed(from, to)
		if !ok || slices.ContainsFunc(all, copied.same) {
			continue
		}
		if _, err := r.Silence(ctx, copied); err != nil {
			return fmt.Errorf("rename %s to %s: %w", from, to, err)
		}
	}
	return nil
}

// renamed is the silence for the new name; ok is false where it does not name the old one.
func (s *Silence) renamed(from, to munin.SeriesID) (copied Silence, ok bool) {
	type change struct{ old, with string }
	changes := map[string]change{
		labelGroup: {from.Host.Group(), to.Host.Group()},
		labelHost:  {from.Host.Name(), to.Host.Name()},
	}
	named := labelHost
	if from.Graph != "" {
		changes[labelGraph] = change{from.Graph, to.Graph}
		changes[model.AlertNameLabel] = changes[labelGraph]
		named = labelGraph
	}
	if from.Field != "" {
		changes[labelField] = change{from.Field, to.Field}
		named = labelField
	}
	copied = *s
	copied.ID, copied.Matchers = "", slices.Clone(s.Matchers)
	for i := range copied.Matchers {
		m := &copied.Matchers[i]
		c, concerned := changes[m.Name]
		if !concerned {
			continue
		}
		if m.Regex || m.Not || m.Value != c.old {
			return copied, false // it is about others, or about what was not renamed
		}
		m.Value = c.with
		ok = ok || m.Name == named || named == labelGraph && m.Name == model.AlertNameLabel
	}
	return copied, ok
}

// same says whether another silence does the same.
func (s *Silence) same(other Silence) bool {
	return slices.Equal(s.Matchers, other.Matchers) && s.EndsAt.Equal(other.EndsAt) && s.Comment == other.Comment
}
