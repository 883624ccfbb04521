// Package backup copies a data folder, beside a running master, and puts the copy back.
//
// A backup is a folder: objects/ holds each file under the name of its SHA-256, and backup.json lists which file of the data folder is
// which object. Blocks never change, so the next backup into the same folder takes only what is new; where the folder is on the same
// disk they are linked, not copied. backup.json is replaced
// last, so a backup that is interrupted leaves the one before as it was.
package backup

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	manifestName = "backup.json"
	objectsDir   = "objects"
	version      = 1
	// maxManifest bounds what is read: a file takes some 200 bytes.
	maxManifest = 256 << 20
)

// manifest is what backup.json holds.
type manifest struct {
	Version int       `json:"version"`
	Made    time.Time `json:"made"`
	Files   []file    `json:"files"`
}

// file is one file of the data folder.
type file struct {
	Path   string `json:"path"` // relative to the data folder, with slashes
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

func (f *file) object(dir string) string {
	return filepath.Join(dir, objectsDir, f.SHA256[:2], f.SHA256)
}

// parseManifest reads a backup.json. Nothing in it can lead out of the folders.
func parseManifest(text []byte) (*manifest, error) {
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, err
	}
	if m.Version != version {
		return nil, fmt.Errorf("its version is %d, this program knows %d", m.Version, version)
	}
	seen := make(map[string]bool)
	for i := range m.Files {
		f := &m.Files[i]
		if raw, err := hex.DecodeString(f.SHA256); err != nil || len(raw) != 32 || f.SHA256 != hex.EncodeToString(raw) || f.Size < 0 {
			return nil, fmt.Errorf("file %d has no checksum or size", i+1)
		}
		clean := filepath.ToSlash(filepath.Clean(filepath.FromSlash(f.Path)))
		if !filepath.IsLocal(filepath.FromSlash(f.Path)) || clean != f.Path || clean == "." || seen[f.Path] {
			return nil, fmt.Errorf("file %d has the path %q", i+1, f.Path)
		}
		seen[f.Path] = true
	}
	return &m, nil
}

func loadManifest(dir string) (*manifest, error) {
	f, err := os.Open(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no finished backup: %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(text)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", f.Name(), err)
	}
	return m, nil
}

// save replaces the backup.json of a folder, all at once.
func (m *manifest) save(dir string) error {
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	part := filepath.Join(dir, manifestName+".part")
	if err := writeFile(part, text); err != nil {
		return err
	}
	if err := os.Rename(part, filepath.Join(dir, manifestName)); err != nil {
		return err
	}
	return syncDir(dir)
}

func writeFile(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
