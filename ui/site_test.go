package ui_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"corbie/munin"
	"corbie/ui"
	"corbie/ui/uitest"
)

func TestAStaticCopyHasNoDeadLinkAndNeedsNoMaster(t *testing.T) {
	f := uitest.New(time.Now())
	f.Known = f.Known[1:3]
	for id, graphs := range f.Drawn {
		f.Drawn[id] = slices.DeleteFunc(graphs, func(g munin.Graph) bool { return g.Name != "cpu" && g.Name != "df" })
	}
	f.Known = append(f.Known, munin.Host{ID: "../../escape", FirstSeen: f.Now.Add(-time.Hour), LastAnswer: f.Now, Interval: uitest.Interval})
	s, err := ui.New(ui.Options{Catalog: f, Samples: f, States: f, Reports: f, Faults: f, Notes: f, Index: f, Location: time.UTC, Static: true})
	if err != nil {
		t.Fatal(err)
	}
	outer := t.TempDir()
	dir := filepath.Join(outer, "site")
	files := 0
	if err := ui.WriteSite(t.Context(), s, dir, ui.SiteOptions{Progress: func(n int, _ int64) { files = n }}); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(outer); err != nil || len(entries) != 1 {
		t.Errorf("beside the folder there is %v", entries)
	}
	seen := make(map[string]bool)
	var pages []string
	if err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			rel, _ := filepath.Rel(dir, name)
			seen[filepath.ToSlash(rel)] = true
			if strings.HasSuffix(rel, ".html") {
				pages = append(pages, filepath.ToSlash(rel))
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"index.html", "problems.html", "changes.html", "inventory.csv", "g/shop.html", "h/web2.example.com/index.html", "h/web2.example.com/cpu-week.html"} {
		if !seen[want] {
			t.Errorf("there is no %s", want)
		}
	}
	if len(seen) != files || files < 40 {
		t.Errorf("%d files, %d were told of", len(seen), files)
	}
	links := 0
	for _, page := range pages {
		body, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := html.Parse(strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc.Descendants() {
			if n.Type == html.ElementNode && (n.Data == "form" || n.Data == "script") {
				t.Fatalf("%s has a %s", page, n.Data)
			}
			for _, a := range n.Attr {
				if a.Key != "href" && a.Key != "src" || strings.HasPrefix(a.Val, "#") {
					continue
				}
				target, _, _ := strings.Cut(a.Val, "#")
				links++
				if !seen[path.Join(path.Dir(page), target)] {
					t.Fatalf("%s leads to %s, which is not there", page, a.Val)
				}
			}
		}
	}
	if links < 200 {
		t.Errorf("only %d links were followed", links)
	}
}
