package uitest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"corbie/munin"
)

// notes are what people change on the pages of the fleet.
type notes struct {
	mu    sync.Mutex
	next  int64
	notes []munin.Annotation
	acks  map[munin.SeriesID]munin.Ack
	views map[string]munin.SavedView
}

func (f *Fleet) addNotes() {
	today := f.Now.Truncate(time.Hour)
	for _, a := range []munin.Annotation{
		{Kind: munin.Deploy, From: f.Now.Add(-3 * time.Hour), Text: "shop 1.4", By: "ann", Where: "shop"},
		{Kind: munin.Reboot, From: f.Now.Add(-9 * time.Hour), Text: "the machine was started anew, after 41 d 3 h", Where: "shop;web2.example.com"},
		{Kind: munin.Maintenance, From: today.Add(-20 * time.Hour), To: today.Add(-18 * time.Hour), Text: "new switch in rack 4", By: "bob"},
		{Kind: munin.Levels, From: f.Now.Add(-5 * time.Hour), Text: "load: warning :4 instead of :8", Where: "shop;web2.example.com", Graph: "load", Field: "load"},
		{Kind: munin.Transition, From: f.Now.Add(-25 * time.Minute), Text: "Load average · load: 4.6 is above 4", Where: "shop;web2.example.com", Graph: "load", Field: "load", Level: munin.Warning},
		{Kind: munin.Transition, From: f.Now.Add(-200 * time.Minute), Text: "Disk usage in percent · /srv: 98.4 is above 98", Where: "office;files.example.com", Graph: "df", Field: "_dev_sdb1", Level: munin.Critical},
		{Kind: munin.Transition, From: f.Now.Add(-19 * time.Hour), Text: "Load average · load is over: 0.6 is within its levels", Where: "office;files.example.com", Graph: "load", Field: "load"},
	} {
		if err := f.Annotate(context.Background(), a); err != nil {
			panic(err) // a typing error in this file
		}
	}
}

// Annotations are those that touch a range, oldest first.
func (f *Fleet) Annotations(_ context.Context, r munin.Range) ([]munin.Annotation, error) {
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	var out []munin.Annotation
	for _, a := range f.kept.notes {
		if !a.End().Before(r.From) && a.From.Before(r.To) {
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b munin.Annotation) int { return a.From.Compare(b.From) })
	return out, nil
}

// Annotate keeps annotations.
func (f *Fleet) Annotate(_ context.Context, annotations ...munin.Annotation) error {
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	for _, a := range annotations {
		if err := a.Tidy(); err != nil {
			return err
		}
		f.kept.next++
		a.ID = f.kept.next
		f.kept.notes = append(f.kept.notes, a)
	}
	return nil
}

// RemoveAnnotation drops one that somebody wrote.
func (f *Fleet) RemoveAnnotation(_ context.Context, id int64) error {
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	for i, a := range f.kept.notes {
		if a.ID == id && a.By != "" {
			f.kept.notes = slices.Delete(f.kept.notes, i, i+1)
			return nil
		}
	}
	return fmt.Errorf("annotation %d: %w", id, munin.ErrNotFound)
}

// Acks are the acknowledgements.
func (f *Fleet) Acks(context.Context) ([]munin.Ack, error) {
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	var out []munin.Ack
	for _, a := range f.kept.acks {
		out = append(out, a)
	}
	return out, nil
}

// Acknowledge keeps one.
func (f *Fleet) Acknowledge(_ context.Context, a munin.Ack) error {
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	if f.kept.acks == nil {
		f.kept.acks = make(map[munin.SeriesID]munin.Ack)
	}
	f.kept.acks[a.ID] = a
	return nil
}

// Unacknowledge drops one.
func (f *Fleet) Unacknowledge(_ context.Context, id munin.SeriesID) error {
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	delete(f.kept.acks, id)
	return nil
}

// Views are the saved views by name.
func (f *Fleet) Views(context.Context) ([]munin.SavedView, error) {
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	var out []munin.SavedView
	for _, v := range f.kept.views {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b munin.SavedView) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out, nil
}

// SaveView keeps one.
func (f *Fleet) SaveView(_ context.Context, v munin.SavedView) error {
	if err := v.Tidy(); err != nil {
		return err
	}
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	if f.kept.views == nil {
		f.kept.views = make(map[string]munin.SavedView)
	}
	f.kept.views[v.Name] = v
	return nil
}

// RemoveView drops one.
func (f *Fleet) RemoveView(_ context.Context, name string) error {
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	if _, ok := f.kept.views[name]; !ok {
		return fmt.Errorf("view %q: %w", name, munin.ErrNotFound)
	}
	delete(f.kept.views, name)
	return nil
}

// GraphIndex lists all graphs.
func (f *Fleet) GraphIndex(context.Context) ([]munin.GraphEntry, error) {
	var out []munin.GraphEntry
	for _, h := range f.Known {
		if h.Archived {
			continue
		}
		graphs := f.Drawn[h.ID]
		for i := range graphs {
			out = append(out, graphs[i].Entry(h.ID))
		}
	}
	return out, nil
}

// Facts are what the configuration says of a host, for people.
func (f *Fleet) Facts(host munin.HostID) map[string]string {
	switch host {
	case "shop;web1.example.com":
		return map[string]string{"serial": "5CG8371XQ2", "rack": "B7", "ipmi": "yes", "note": "=1+1"}
	case "office;print.example.com":
		return map[string]string{"rack": "A1"}
	}
	return nil
}

// Tags are what the configuration says of a host.
func (f *Fleet) Tags(host munin.HostID) []string {
	switch host.Group() {
	case "shop":
		return []string{"web", "production"}
	case "office":
		return []string{"office"}
	}
	return nil
}
