package catalog_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage/catalog"
)

func openEmpty(t *testing.T) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(filepath.Join(t.TempDir(), "catalog.db"), catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestAnnotationsAreFoundByTheirTimeAndStoredOnce(t *testing.T) {
	c, ctx := openEmpty(t), t.Context()
	at := time.Date(2026, 11, 16, 14, 5, 0, 0, time.UTC)
	deploy := munin.Annotation{Kind: munin.Deploy, From: at, Text: "  shop\n1.4 ", By: "ann", Where: "shop"}
	broken := munin.Annotation{
		Kind: munin.Transition, From: at.Add(time.Minute), Text: "critical: 98 is above 95", Where: "shop;web1", Graph: "df", Field: "root",
		Level: munin.Critical,
	}
	long := munin.Annotation{Kind: munin.Maintenance, From: at.Add(-3 * time.Hour), To: at.Add(3 * time.Hour), Text: "new disks", By: "bob"}
	for range 2 {
		if err := c.Annotate(ctx, deploy, broken, long); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.Annotations(ctx, munin.Range{From: at, To: at.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0].Text != "new disks" || got[1].Text != "shop 1.4" || got[2].Level != munin.Critical || !got[1].To.IsZero() {
		t.Fatalf("annotations are %+v", got)
	}
	if got, _ := c.Annotations(ctx, munin.Range{From: at.Add(2 * time.Minute), To: at.Add(time.Hour)}); len(got) != 1 {
		t.Errorf("after both instants there is %+v, want the maintenance only", got)
	}
	if err := c.RemoveAnnotation(ctx, got[2].ID); !errors.Is(err, munin.ErrNotFound) {
		t.Errorf("what the master wrote can be removed: %v", err)
	}
	if err := c.RemoveAnnotation(ctx, got[1].ID); err != nil {
		t.Error(err)
	}
	if err := c.Annotate(ctx, munin.Annotation{From: at, Text: " \n"}); err == nil {
		t.Error("an annotation without a text is stored")
	}
}

func TestAnAcknowledgementHoldsForOneProblemAtItsLevel(t *testing.T) {
	c, ctx := openEmpty(t), t.Context()
	now := time.Date(2026, 11, 16, 14, 5, 0, 0, time.UTC)
	id := munin.SeriesID{Host: "shop;web1", Graph: "df", Field: "root"}
	state := munin.AlertState{ID: id, Open: munin.Warning, OpenSince: now.Add(-time.Hour)}
	if err := c.Acknowledge(ctx, munin.Ack{ID: id, Since: state.OpenSince, Level: munin.Warning, At: now, Until: now.Add(time.Hour), By: "ann"}); err != nil {
		t.Fatal(err)
	}
	acks, err := c.Acks(ctx)
	if err != nil || len(acks) != 1 {
		t.Fatal(acks, err)
	}
	worse, next, over := state, state, state
	worse.Open = munin.Critical
	next.OpenSince = now
	over.Open = munin.OK
	for _, want := range []struct {
		what   string
		state  munin.AlertState
		now    time.Time
		covers bool
	}{
		{"the problem", state, now, true},
		{"after its time", state, now.Add(time.Hour), false},
		{"a worse one", worse, now, false},
		{"the next one", next, now, false},
		{"after its end", over, now, false},
	} {
		if got := acks[0].Covers(want.state, want.now); got != want.covers {
			t.Errorf("%s: covered is %v", want.what, got)
		}
	}
	if err := c.Unacknowledge(ctx, id); err != nil {
		t.Error(err)
	}
	if err := c.Unacknowledge(ctx, id); !errors.Is(err, munin.ErrNotFound) {
		t.Error(err)
	}
}

func TestViewsAreKeptByNameAndReplaced(t *testing.T) {
	c, ctx := openEmpty(t), t.Context()
	view := munin.SavedView{Title: "Disks of the Shop!", From: "now-7d", Items: []munin.SavedItem{{Host: "shop;web1", Graph: "df"}, {Host: "shop;web2", Graph: "df"}}}
	if err := c.SaveView(ctx, view); err != nil {
		t.Fatal(err)
	}
	view.From = "now-30d"
	if err := c.SaveView(ctx, view); err != nil {
		t.Fatal(err)
	}
	views, err := c.Views(ctx)
	if err != nil || len(views) != 1 || views[0].Name != "disks-of-the-shop" || views[0].From != "now-30d" || len(views[0].Items) != 2 {
		t.Fatalf("views are %+v, %v", views, err)
	}
	for _, bad := range []munin.SavedView{{}, {Title: "x"}, {Title: "…"}, {Name: "../x", Title: "x", Items: view.Items}} {
		if err := c.SaveView(ctx, bad); err == nil {
			t.Errorf("%+v was stored", bad)
		}
	}
	if err := c.RemoveView(ctx, "disks-of-the-shop"); err != nil {
		t.Error(err)
	}
	if err := c.RemoveView(ctx, "disks-of-the-shop"); !errors.Is(err, munin.ErrNotFound) {
		t.Error(err)
	}
}

func TestTheIndexListsTheGraphsOfConfiguredHosts(t *testing.T) {
	c, ctx := openEmpty(t), t.Context()
	if err := c.Configure(ctx, []munin.Host{{ID: "shop;web1"}, {ID: "old"}}); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 16, 14, 5, 0, 0, time.UTC)
	graphs := munin.ParseConfig("load", []byte("graph_title Load \"5\"\ngraph_category system\nload.label l'oad\nmax.label maximum\n")).Graphs
	for _, host := range []munin.HostID{"shop;web1", "old"} {
		if err := c.Record(ctx, &munin.Poll{Host: host, Start: at, Graphs: graphs, Plugins: []string{"load"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Configure(ctx, []munin.Host{{ID: "shop;web1"}}); err != nil {
		t.Fatal(err)
	}
	got, err := c.GraphIndex(ctx)
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	e := got[0]
	if e.Host != "shop;web1" || e.Name != "load" || e.Title != `Load "5"` || e.Category != "system" || e.Plugin != "load" || !e.LastSeen.Equal(at) ||
		len(e.Fields) != 2 || e.Fields[0] != (munin.FieldEntry{Name: "load", Label: "l'oad"}) {
		t.Errorf("the entry is %+v", e)
	}
}
