package route_test

import (
	"os"
	"path/filepath"
	"testing"

	"corbie/alerts/route"
	"corbie/munin"
)

// A contact of munin.conf is a program with templates as arguments, which reads a text.
func TestAContactReadsMuninsText(t *testing.T) {
	out := t.TempDir()
	path := script(t, `
printf '%s|' "$@" >"$OUT/args"
cat >"$OUT/tmp" && mv "$OUT/tmp" "$OUT/text.$CORBIE_STATUS"
`)
	r := start(t, t.TempDir(), route.Receiver{Name: "c", Command: &route.Command{
		Argv:     []string{path, "-s", "Munin ${var:worst}: ${var:group}::${var:host}::${var:plugin}", "${var:graph_title}", "${var:nothing}"},
		Template: true, Env: map[string]munin.Secret{"OUT": munin.Secret(out)},
	}})
	x := newThing("web;eu;www1", "df", "root")
	x.about.Title, x.about.Label, x.about.ExtInfo = "--exec $(id)", "/ `id`", "see the wiki"
	r.tell(x.is(99))
	text := filepath.Join(out, "text.firing")
	waitFor(t, "the contact", func() bool { return size(text) > 0 })
	if got, want := read(t, filepath.Join(out, "args")), "-s|Munin CRITICAL: web-eu::www1::df|exec $(id)||"; got != want {
		t.Errorf("arguments %q, want %q", got, want)
	}
	want := "web-eu :: www1 :: --exec $(id)\n\tCRITICALs: / `id` is 99.00 (outside range [:95]): see the wiki.\n\n"
	if got := read(t, text); got != want {
		t.Errorf("text %q\nwant %q", got, want)
	}
	r.tell(x.is(1))
	ended := filepath.Join(out, "text.resolved")
	waitFor(t, "the recovery", func() bool { return size(ended) > 0 })
	want = "web-eu :: www1 :: --exec $(id)\n\tOKs: / `id` is 1.00: see the wiki.\n\n"
	if got := read(t, ended); got != want {
		t.Errorf("text %q\nwant %q", got, want)
	}
	r.stop()
}

func TestAContactReadsItsOwnText(t *testing.T) {
	out := t.TempDir()
	path := script(t, `cat >"$OUT/tmp" && mv "$OUT/tmp" "$OUT/text"`)
	r := start(t, t.TempDir(), route.Receiver{Name: "c", Command: &route.Command{
		Argv: []string{path}, Template: true, Env: map[string]munin.Secret{"OUT": munin.Secret(out)},
		Text: "${var:host} ${var:worstid}/${var:numcfields}: ${loop<;>:fields ${var:label} ${var:crange} ${var:host}}",
	}})
	r.tell(newThing("a", "df", "root").is(99))
	text := filepath.Join(out, "text")
	waitFor(t, "the contact", func() bool { return size(text) > 0 })
	if got, want := read(t, text), "a 2/1: /root :95 a\n"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	r.stop()
}

func TestAReceiverHearsOnlyWhatItWants(t *testing.T) {
	h := newHooks(t)
	all, some := webhookTo(h), newHooks(t)
	picky := webhookTo(some)
	picky.Name, picky.Wants = "picky", func(id munin.SeriesID) bool { return id.Host == "b" }
	r := start(t, t.TempDir(), all, picky)
	r.tell(newThing("a", "df", "root").is(99))
	h.expect(t, "firing", "firing a:df.root critical")
	r.tell(newThing("b", "df", "root").is(99))
	h.expect(t, "firing", "firing b:df.root critical")
	some.expect(t, "firing", "firing b:df.root critical")
	r.stop()
}

func TestABrokenTemplateIsRefused(t *testing.T) {
	for _, c := range []route.Command{
		{Argv: []string{"/bin/x", "${var:host"}, Template: true}, {Argv: []string{"/bin/x"}, Text: "${x}", Template: true},
	} {
		if _, err := route.New(route.Options{Dir: t.TempDir(), Receivers: []route.Receiver{{Name: "c", Command: &c}}}); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
