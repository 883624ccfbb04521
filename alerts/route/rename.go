package route

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/common/model"

	"corbie/munin"
)

// Rename makes the silences that name a host, graph or field by an old name hold for the new one as well. Those for
// groups, and those with regular expressions, are left as they are.
//
// Who gets mails of a problem that is open has been told of it under the new name then: there is nothing to tell before it
// changes or ends. Programs, which know it by its labels, are told that the old one is over and the new one begins, once the
// evaluator says so. Call it when all open problems were told, and before the evaluator renames.
func (r *Router) Rename(ctx context.Context, from, to munin.SeriesID) error {
	if err := r.renameSilences(ctx, from, to); err != nil {
		return err
	}
	r.turn.Lock()
	defer r.turn.Unlock()
	if r.current != nil { // a delivery under way would write down what it knew before
		r.stop()
		defer r.start()
	}
	for _, p := range r.openUnder(from) {
		for _, t := range r.targets {
			if !t.people {
				continue
			}
			if err := r.move(t, p, munin.Renamed(p.notice.State.ID, from, to)); err != nil {
				return fmt.Errorf("rename %s to %s: %w", from, to, err)
			}
		}
	}
	return nil
}

// openUnder lists the open problems of a host, graph or field, to be moved.
func (r *Router) openUnder(name munin.SeriesID) []*problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*problem
	for id, p := range r.problems {
		within := id.Host == name.Host && (name.Graph == "" || id.Graph == name.Graph) && (name.Field == "" || id.Field == name.Field)
		if within && p.notice.State.Open != munin.OK {
			p.moved = make(map[string]bool)
			out = append(out, p)
		}
	}
	return out
}

// move writes down that a target was told of a problem under another name, if it was told of it at all.
func (r *Router) move(t *target, p *problem, to munin.SeriesID) error {
	after := &problem{notice: p.notice, labels: identity(to)}
	addQuery(after.labels, p.notice.Query)
	oldKey, newKey := r.groupKey(p.labels), r.groupKey(after.labels)
	old, err := r.journal.query(t.logKey(), oldKey)
	if err != nil {
		return err
	}
	entry, err := r.journal.query(t.logKey(), newKey)
	if err != nil {
		return err
	}
	firing, left := toldIn(entry), toldIn(old)
	told, hash := p.told(left)
	if also, _ := after.told(firing); also != munin.OK && told != munin.OK {
		return nil // both were told: that of the old name is told to be over
	}
	p.moved[t.key()] = true
	if told == munin.OK {
		return nil
	}
	store := nflog.NewStore(entry)
	if thread, ok := nflog.NewStore(old).GetStr(storeThread); ok && len(firing) == 0 {
		store.SetStr(storeThread, thread)
	}
	firing[uint64(after.at(told).Fingerprint())] = true
	if newKey == oldKey {
		delete(firing, hash)
	}
	err = r.journal.Log(t.logKey(), newKey, slices.Sorted(maps.Keys(firing)), nil, store, 0)
	if err != nil || newKey == oldKey {
		return err
	}
	delete(left, hash)
	return r.journal.Log(t.logKey(), oldKey, slices.Sorted(maps.Keys(left)), nil, nflog.NewStore(old), 0)
}

// groupKey is the key under which the notification log has the group of a problem.
func (r *Router) groupKey(labels model.LabelSet) string {
	routes := dispatch.NewRoute(r.tree(), nil).Routes
	if len(routes) == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%s", routes[0].Key(), r.groupLabels(labels))
}

// toldIn are the hashes of what an entry says is told and open; the entry may be nil.
func toldIn(entry *nflogpb.Entry) map[uint64]bool {
	firing := make(map[uint64]bool)
	for _, hash := range entry.GetFiringAlerts() {
		firing[hash] = true
	}
	return firing
}

func (r *Router) renameSilences(ctx context.Context, from, to munin.SeriesID) error {
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
