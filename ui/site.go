package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/net/html"
)

// SiteOptions say what a static copy holds.
type SiteOptions struct {
	// MaxPages ends the copy with an error; 0: 100,000.
	MaxPages int
	// Progress hears of each file; it may be nil.
	Progress func(files int, bytes int64)
}

// WriteSite writes a copy of all pages into a folder, to be read without a master, from a disk or any web server: the overview,
// groups, hosts, graphs over a day, a week, a month and a year, what changed, the inventory, the capacity report. All links
// between files are relative; those to what is not there are plain text. The server must be made with Static. It ends early with
// ctx. Nothing outside of the folder is written, whatever hosts and graphs are called.
func WriteSite(ctx context.Context, s *Server, dir string, opts SiteOptions) error {
	if !s.opts.Static {
		return errors.New("write the site: the server has to be made with Static")
	}
	if opts.MaxPages == 0 {
		opts.MaxPages = 100_000
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the site: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("write the site: %w", err)
	}
	defer root.Close()
	c := &copier{server: s, root: root, opts: opts, files: make(map[string]string), used: make(map[string]bool)}
	for _, start := range []string{"/", "/problems", "/changes", "/inventory", "/inventory.csv", "/capacity", "/missing"} {
		c.want(start)
	}
	for len(c.queue) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		next := c.queue[0]
		c.queue = c.queue[1:]
		if err := c.copy(ctx, next); err != nil {
			return fmt.Errorf("write the site: %s: %w", next, err)
		}
	}
	return nil
}

// copier is a copy under way.
type copier struct {
	server *Server
	root   *os.Root
	opts   SiteOptions
	queue  []string
	files  map[string]string // address: file; an empty one is not copied
	used   map[string]bool   // files that are taken, in lower case
	count  int
	bytes  int64
}

// want says which file an address is copied to, and sees to it that it is; empty when it is not copied.
func (c *copier) want(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(u.Path, "/") {
		return ""
	}
	u.Fragment = ""
	key := u.String()
	if file, ok := c.files[key]; ok {
		return file
	}
	file := siteFile(u)
	if file != "" {
		for n := 2; c.used[strings.ToLower(file)]; n++ {
			ext := path.Ext(file)
			file = strings.TrimSuffix(file, ext) + "-" + strconv.Itoa(n) + ext
		}
		c.used[strings.ToLower(file)] = true
		c.queue = append(c.queue, key)
	}
	c.files[key] = file
	return file
}

// siteFile is the file of an address, below the folder; empty for what only a master can answer.
func siteFile(u *url.URL) string {
	q := u.Query()
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	switch parts[0] {
	case "":
		return "index.html"
	case "static":
		return "static/" + safeName(parts[len(parts)-1])
	case "problems", "changes", "capacity", "missing", "inventory":
		if len(q) > 0 {
			return ""
		}
		return parts[0] + ".html"
	case "inventory.csv":
		return "inventory.csv"
	case "g":
		return "g/" + safeName(parts[len(parts)-1]) + ".html"
	case "h":
		return graphFile(parts, q)
	}
	return ""
}

// graphFile is the file of a host's page, of a graph's page, or of a picture.
func graphFile(parts []string, q url.Values) string {
	if len(parts) == 2 {
		if len(q) > 0 {
			return ""
		}
		return "h/" + safeName(parts[1]) + "/index.html"
	}
	if len(parts) != 3 {
		return ""
	}
	folder := "h/" + safeName(parts[1]) + "/"
	name, format := splitFormat(parts[2])
	name = safeName(name)
	period := ""
	for _, p := range periods() {
		if q.Get("from") == p.From && (q.Get("to") == "now" || q.Get("to") == "") {
			period = "-" + p.Name
		}
	}
	switch {
	case q.Has("compare"), q.Has("live"), q.Has("from") && period == "" && format != ".svg":
		return ""
	case format == ".svg":
		return folder + name + period + "-" + safeName(q.Get("w")+"x"+q.Get("h")) + ".svg"
	case format == ".csv", format == ".json":
		return folder + name + period + format
	}
	return folder + name + period + ".html"
}

// safeName makes of a part of an address a name that every file system takes.
func safeName(part string) string {
	if text, err := url.PathUnescape(part); err == nil {
		part = text
	}
	var b strings.Builder
	for _, r := range part {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r) && b.Len() > 0 {
			b.WriteRune(r)
		} else {
			b.WriteByte('_')
		}
		const most = 120
		if b.Len() >= most {
			break
		}
	}
	if b.Len() == 0 {
		return "_"
	}
	return b.String()
}

// copy fetches one address and writes its file.
func (c *copier) copy(ctx context.Context, address string) error {
	if c.count >= c.opts.MaxPages {
		return fmt.Errorf("there are more than %d files", c.opts.MaxPages)
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	w := httptest.NewRecorder()
	c.server.ServeHTTP(w, r)
	if w.Code != http.StatusOK && w.Code != http.StatusNotFound { // a graph that is gone has a page that says so
		return fmt.Errorf("status %d", w.Code)
	}
	body, file := w.Body.Bytes(), c.files[address]
	if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		var err error
		if body, err = c.relink(body, file); err != nil {
			return err
		}
	}
	if err := c.root.MkdirAll(filepath.FromSlash(path.Dir(file)), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := c.root.WriteFile(filepath.FromSlash(file), body, 0o644); err != nil {
		return err
	}
	c.count++
	c.bytes += int64(len(body))
	if c.opts.Progress != nil {
		c.opts.Progress(c.count, c.bytes)
	}
	return nil
}

// relink makes the links of a page lead to files. A link to what is not copied loses its address.
func (c *copier) relink(body []byte, file string) ([]byte, error) {
	doc, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode {
			c.relinkNode(n, file)
		}
		for child := n.FirstChild; child != nil; child = child.NextSibling {
			walk(child)
		}
	}
	walk(doc)
	var out bytes.Buffer
	if err := html.Render(&out, doc); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (c *copier) relinkNode(n *html.Node, file string) {
	kept := n.Attr[:0]
	for _, a := range n.Attr {
		if (a.Key == "href" || a.Key == "src") && strings.HasPrefix(a.Val, "/") {
			address, fragment, _ := strings.Cut(a.Val, "#")
			target := c.want(address)
			if target == "" {
				continue
			}
			a.Val = strings.Repeat("../", strings.Count(file, "/")) + target
			if fragment != "" {
				a.Val += "#" + fragment
			}
		}
		if strings.HasPrefix(a.Key, "data-") && strings.HasPrefix(a.Val, "/") {
			continue
		}
		kept = append(kept, a)
	}
	n.Attr = kept
}
