package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed assets/*.css assets/*.js assets/*.svg assets/echarts/echarts.min.js
var assetFiles embed.FS

//go:embed templates/*.tmpl
var templateFiles embed.FS

// asset is one embedded file, ready to be sent.
type asset struct {
	kind   string
	body   []byte
	packed []byte // gzip, where that is smaller
}

// assets are the embedded files by name. One hash over all of them stands in their path, so that a browser may
// keep them for ever and modules find each other by relative names.
type assets struct {
	hash  string
	files map[string]asset
}

func loadAssets() (*assets, error) {
	a := &assets{files: make(map[string]asset)}
	sum := sha256.New()
	err := fs.WalkDir(assetFiles, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := assetFiles.ReadFile(name)
		if err != nil {
			return err
		}
		sum.Write([]byte(name))
		sum.Write(body)
		a.files[path.Base(name)] = asset{kind: assetKind(name), body: body, packed: pack(body)}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the embedded assets: %w", err)
	}
	a.hash = hex.EncodeToString(sum.Sum(nil))[:12]
	return a, nil
}

// path is where a page finds an asset.
func (a *assets) path(name string) string { return "/static/" + a.hash + "/" + name }

func assetKind(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	default:
		return "image/svg+xml"
	}
}

func pack(body []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := w.Write(body); err != nil || w.Close() != nil || b.Len() >= len(body) {
		return nil
	}
	return b.Bytes()
}

// serve answers for /static/{hash}/{name}. An old hash gets the file of today, but is not kept: a page that was
// open while the master was upgraded goes on working.
func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	file, ok := a.files[r.PathValue("name")]
	if !ok {
		http.Error(w, "There is no such file. Reload the page.", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", file.kind)
	h.Set("Cache-Control", "no-cache")
	if r.PathValue("hash") == a.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body := file.body
	if file.packed != nil && acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = file.packed
	}
	if strings.HasSuffix(file.kind, "svg+xml") {
		h.Set("Content-Security-Policy", picturePolicy)
	}
	writeBody(w, r, body)
}
