package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"corbie/munin"
	"corbie/storage/catalog"
	"corbie/storage/series"
)

// refusedFor is how long a host's page shows that values were refused, after the last one: a clock that was set right is no fault any more.
const refusedFor = 2 * time.Hour

// hostFaults are what could not be used of a host's last answer, and what of its values could not be stored for good.
type hostFaults struct {
	catalog *catalog.Catalog
	samples *samples
}

// Faults lists those of one host.
func (h *hostFaults) Faults(ctx context.Context, host munin.HostID) ([]munin.Fault, error) {
	faults, err := h.catalog.Faults(ctx, host)
	if err != nil {
		return nil, err
	}
	return append(faults, refusals(h.samples.Rejected(), h.catalog.Renames(), host, time.Now())...), nil
}

// refusals says what was refused of a host lately. That another value is stored for the same time is none: so it is when a master was
// started again within the interval of a poll.
func refusals(all []series.Reject, renames *munin.Renames, host munin.HostID, now time.Time) []munin.Fault {
	var faults []munin.Fault
	for i := range all {
		r := &all[i]
		if renames.Host(r.Host) != host || r.Reason == series.Conflict || now.Sub(r.At) > refusedFor {
			continue
		}
		faults = append(faults, munin.Fault{
			Plugin: r.Last.ID.Graph,
			Text:   cmp.Or(r.Last.ID.Field, "?") + " " + r.Last.Time().UTC().Format(time.RFC3339),
			Reason: fmt.Sprintf("%s of this host could not be stored since the master was started, the last one %s: %s",
				plural(int(r.Count), "value", "values"), ago(r.At, now), r.Reason),
		})
	}
	return faults
}
