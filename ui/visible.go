package ui

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"corbie/munin"
	"corbie/ui/access"
)

// visible is the catalogue as the person sees it who asks: hosts of other groups are not there at all. All pages read through
// it, so that none can forget it.
type visible struct{ Catalog }

// Hosts lists those that the person sees.
func (v visible) Hosts(ctx context.Context) ([]munin.Host, error) {
	hosts, err := v.Catalog.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	return only(ctx, hosts, func(h *munin.Host) munin.HostID { return h.ID }), nil
}

// only keeps what belongs to hosts that the person sees. Somebody without a role sees nothing.
func only[T any](ctx context.Context, all []T, host func(*T) munin.HostID) []T {
	p := access.Of(ctx)
	if p.Role >= munin.Viewer && len(p.Groups) == 0 {
		return all
	}
	kept := make([]T, 0, len(all))
	for i := range all {
		if sees(p, host(&all[i])) {
			kept = append(kept, all[i])
		}
	}
	return kept
}

func sees(p access.Person, host munin.HostID) bool { return p.Role >= munin.Viewer && p.Sees(host) }

// Host finds one that the person sees; a name may be unique among those.
func (v visible) Host(ctx context.Context, name string) (munin.Host, error) {
	p := access.Of(ctx)
	if p.Role >= munin.Viewer && len(p.Groups) == 0 {
		return v.Catalog.Host(ctx, name)
	}
	hosts, err := v.Hosts(ctx)
	if err != nil {
		return munin.Host{}, err
	}
	var found []munin.Host
	for _, h := range hosts {
		if string(h.ID) == name {
			return h, nil
		}
		if h.ID.Name() == name {
			found = append(found, h)
		}
	}
	if current := slices.DeleteFunc(slices.Clone(found), func(h munin.Host) bool { return h.Archived }); len(current) > 0 {
		found = current
	}
	switch len(found) {
	case 0:
		return munin.Host{}, fmt.Errorf("host %q: %w", name, munin.ErrNotFound)
	case 1:
		return found[0], nil
	}
	return munin.Host{}, fmt.Errorf("host %q is %w", name, munin.ErrAmbiguous)
}

// Graphs are those of a host that the person sees.
func (v visible) Graphs(ctx context.Context, host munin.HostID) ([]munin.Graph, error) {
	if !sees(access.Of(ctx), host) {
		return nil, nil
	}
	return v.Catalog.Graphs(ctx, host)
}

// Graph is one of them.
func (v visible) Graph(ctx context.Context, host munin.HostID, name string) (munin.Graph, error) {
	if !sees(access.Of(ctx), host) {
		return munin.Graph{}, fmt.Errorf("graph %q of %s: %w", name, host, munin.ErrNotFound)
	}
	return v.Catalog.Graph(ctx, host, name)
}

type visibleStates struct{ all States }

// States are those of hosts that the person sees.
func (v visibleStates) States(ctx context.Context) ([]munin.AlertState, error) {
	all, err := v.all.States(ctx)
	if err != nil {
		return nil, err
	}
	return only(ctx, all, func(s *munin.AlertState) munin.HostID { return s.ID.Host }), nil
}

type visibleReports struct{ all Reports }

// LastReport has the findings of hosts that the person sees.
func (v visibleReports) LastReport(ctx context.Context, name string) (munin.Report, error) {
	r, err := v.all.LastReport(ctx, name)
	if err == nil {
		r.Findings = only(ctx, r.Findings, func(f *munin.Finding) munin.HostID { return f.ID.Host })
	}
	return r, err
}

type visibleFaults struct{ all Faults }

// Faults are those of a host that the person sees.
func (v visibleFaults) Faults(ctx context.Context, host munin.HostID) ([]munin.Fault, error) {
	if !sees(access.Of(ctx), host) {
		return nil, nil
	}
	return v.all.Faults(ctx, host)
}

type visibleAcks struct{ all Acks }

// Acks are those of problems that the person sees.
func (v visibleAcks) Acks(ctx context.Context) ([]munin.Ack, error) {
	all, err := v.all.Acks(ctx)
	if err != nil {
		return nil, err
	}
	return only(ctx, all, func(a *munin.Ack) munin.HostID { return a.ID.Host }), nil
}

// Acknowledge stores one of a problem that the person sees.
func (v visibleAcks) Acknowledge(ctx context.Context, a munin.Ack) error {
	if !sees(access.Of(ctx), a.ID.Host) {
		return fmt.Errorf("problem %s: %w", a.ID, munin.ErrNotFound)
	}
	return v.all.Acknowledge(ctx, a)
}

// Unacknowledge takes one back.
func (v visibleAcks) Unacknowledge(ctx context.Context, id munin.SeriesID) error {
	if !sees(access.Of(ctx), id.Host) {
		return fmt.Errorf("problem %s: %w", id, munin.ErrNotFound)
	}
	return v.all.Unacknowledge(ctx, id)
}

type visibleNotes struct{ all Notes }

// Annotations are those about everything, about hosts and groups that the person sees, and about groups around those.
func (v visibleNotes) Annotations(ctx context.Context, r munin.Range) ([]munin.Annotation, error) {
	all, err := v.all.Annotations(ctx, r)
	if err != nil {
		return nil, err
	}
	p := access.Of(ctx)
	if p.Role >= munin.Viewer && len(p.Groups) == 0 {
		return all, nil
	}
	kept := make([]munin.Annotation, 0, len(all))
	for i := range all {
		if p.Role >= munin.Viewer && (all[i].Where == "" || mayName(p, all[i].Where) || around(p, all[i].Where)) {
			kept = append(kept, all[i])
		}
	}
	return kept, nil
}

// mayName says whether a host or a group is one that the person sees.
func mayName(p access.Person, where munin.HostID) bool {
	return p.Sees(where) || slices.Contains(p.Groups, string(where))
}

// around says whether the person sees a part of a group.
func around(p access.Person, where munin.HostID) bool {
	return slices.ContainsFunc(p.Groups, func(g string) bool { return strings.HasPrefix(g, string(where)+";") })
}

// Annotate stores annotations about what the person sees. Who sees a part only cannot write about everything.
func (v visibleNotes) Annotate(ctx context.Context, annotations ...munin.Annotation) error {
	p := access.Of(ctx)
	for i := range annotations {
		if len(p.Groups) > 0 && !mayName(p, annotations[i].Where) {
			return &badRequestError{fmt.Errorf("you see the hosts of %s only: say one of these groups, or one of their hosts, as where", strings.Join(p.Groups, ", "))}
		}
	}
	return v.all.Annotate(ctx, annotations...)
}

// RemoveAnnotation takes one back that the person sees.
func (v visibleNotes) RemoveAnnotation(ctx context.Context, id int64) error {
	p := access.Of(ctx)
	if len(p.Groups) == 0 {
		return v.all.RemoveAnnotation(ctx, id)
	}
	now := time.Now()
	all, err := v.all.Annotations(ctx, munin.Range{From: now.Add(-munin.MaxRange), To: now.Add(munin.MaxRange)})
	if err != nil {
		return err
	}
	for i := range all {
		if all[i].ID == id && mayName(p, all[i].Where) {
			return v.all.RemoveAnnotation(ctx, id)
		}
	}
	return fmt.Errorf("annotation %d: %w", id, munin.ErrNotFound)
}

// limited puts what the person may see between the pages and all that they read.
func (o *Options) limited() {
	o.Catalog = visible{o.Catalog}
	if o.States != nil {
		o.States = visibleStates{o.States}
	}
	if o.Reports != nil {
		o.Reports = visibleReports{o.Reports}
	}
	if o.Faults != nil {
		o.Faults = visibleFaults{o.Faults}
	}
	if o.Acks != nil {
		o.Acks = visibleAcks{o.Acks}
	}
	if o.Notes != nil {
		o.Notes = visibleNotes{o.Notes}
	}
}
