package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"corbie/storage/catalog"
	"corbie/storage/series"
)

// The parts of a data folder.
const (
	rawDir      = "raw"
	catalogName = "catalog.db"
	importedDir = "imported"
	marksDir    = "retention"
	alertsDir   = "alerts"
	queueDir    = "queue"

	blockName = 26 // letters that the folder of a block has in its name
)

// sideDirs are folders of side blocks: like blocks of samples, they never change.
func sideDirs() []string { return []string{"hour", "day"} }

// Result says how much there is.
type Result struct {
	Made  time.Time
	Files int
	Bytes int64 // of all files
	New   int64 // bytes that were copied or linked because they were not in the backup yet
	// Linked is how many bytes of New are hard links to files of the data folder: they take no room as long as those are there.
	Linked int64
	// Samples says whether samples are in it: those of a master with "storage: remote" are in its engine.
	Samples bool
	Queued  int64 // bytes of the queue of what such an engine had not taken
}

// Progress is told how many bytes were looked at; it may be nil.
type Progress func(bytes int64)

// Make brings the backup in a folder up to date with a data folder, also while a master uses that. Samples that were stored
// before the call are in it. The backup is complete when Make returns nil, else the one before is as it was.
func Make(ctx context.Context, data, dir string, progress Progress) (Result, error) {
	m := maker{dir: dir, progress: progress, old: make(map[string]file)}
	if before, err := loadManifest(dir); err == nil {
		for _, f := range before.Files {
			m.old[f.Path] = f
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Result{}, fmt.Errorf("backup: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, objectsDir), 0o750); err != nil {
		return Result{}, fmt.Errorf("backup: %w", err)
	}
	m.next = manifest{Version: version, Made: time.Now().UTC()}
	if err := m.all(ctx, data); err != nil {
		return Result{}, fmt.Errorf("backup: %w", err)
	}
	if err := m.next.save(dir); err != nil {
		return Result{}, fmt.Errorf("backup: %w", err)
	}
	if err := m.sweep(); err != nil {
		return Result{}, fmt.Errorf("backup: it is complete, but objects that are not needed any more could not be removed: %w", err)
	}
	result := m.next.result()
	result.New, result.Linked = m.copied+m.linked, m.linked
	return result, nil
}

func (m *manifest) result() Result {
	r := Result{Made: m.Made, Files: len(m.Files)}
	for _, f := range m.Files {
		r.Bytes += f.Size
		switch folder, _, _ := strings.Cut(f.Path, "/"); folder {
		case rawDir:
			r.Samples = true
		case queueDir:
			if strings.HasSuffix(f.Path, queueSuffix) {
				r.Queued += f.Size
			}
		}
	}
	return r
}

// maker makes one backup.
type maker struct {
	dir      string
	progress Progress
	old      map[string]file // of the backup before, by path
	next     manifest
	copied   int64
	linked   int64
}

// all copies the parts of a data folder: the samples first, and then what is known about them.
func (m *maker) all(ctx context.Context, data string) error {
	if err := m.samples(ctx, data); err != nil {
		return fmt.Errorf("samples of %s: %w", data, err)
	}
	if err := m.queue(ctx, filepath.Join(data, queueDir)); err != nil {
		return fmt.Errorf("queue of samples: %w", err)
	}
	for _, side := range sideDirs() {
		if err := m.sides(ctx, filepath.Join(data, side), side); err != nil {
			return err
		}
	}
	if err := m.imported(ctx, filepath.Join(data, importedDir)); err != nil {
		return err
	}
	if err := m.tree(ctx, filepath.Join(data, marksDir), marksDir, func(path string) bool { return strings.HasSuffix(path, ".tmp") }); err != nil {
		return err
	}
	scratch := filepath.Join(m.dir, "catalog.part")
	if err := os.Remove(scratch); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := catalog.Copy(ctx, filepath.Join(data, catalogName), scratch); err != nil {
		return err
	}
	err := m.add(ctx, scratch, catalogName, false)
	if err = errors.Join(err, os.Remove(scratch)); err != nil {
		return err
	}
	return m.tree(ctx, filepath.Join(data, alertsDir), alertsDir, func(path string) bool {
		return strings.Contains(path, "tmp") || strings.HasSuffix(path, ".new")
	})
}

// samples copies raw samples. A master that keeps them in an engine has a queue, and perhaps samples of before.
func (m *maker) samples(ctx context.Context, data string) error {
	if _, err := os.Stat(filepath.Join(data, rawDir)); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(data, queueDir)); err == nil {
			return nil
		}
	}
	frozen, release, err := series.Freeze(filepath.Join(data, rawDir))
	if err != nil {
		return err
	}
	err = m.tree(ctx, frozen, rawDir, func(path string) bool { return path == "inuse" || path == "lock" })
	return errors.Join(err, release())
}

// queueSuffix is what the names of the files end with in which samples wait for an engine.
const queueSuffix = ".queue"

// queue copies what waits for an engine, and before it how far that has taken it: what is sent meanwhile is sent again after a restore, and is
// the same. Files that go meanwhile were sent. They grow at their ends alone, and what is half written there is cut off when they are opened.
func (m *maker) queue(ctx context.Context, from string) error {
	files := []string{filepath.Join(from, "sent")}
	parts, err := filepath.Glob(filepath.Join(from, "*"+queueSuffix))
	if err != nil {
		return err
	}
	for _, path := range append(files, parts...) {
		err := m.add(ctx, path, queueDir+"/"+filepath.Base(path), false)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// sides copies finished side blocks. One that the master replaces meanwhile is left out whole: its successor, or the samples, hold the same.
func (m *maker) sides(ctx context.Context, from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || strings.Contains(e.Name(), ".") {
			continue
		}
		before := len(m.next.Files)
		err := m.tree(ctx, filepath.Join(from, e.Name()), to+"/"+e.Name(), func(string) bool { return false })
		if _, gone := os.Stat(filepath.Join(from, e.Name())); errors.Is(gone, fs.ErrNotExist) {
			m.next.Files = m.next.Files[:before]
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tree copies all files of a folder that need not exist.
func (m *maker) tree(ctx context.Context, from, to string, skip func(path string) bool) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == from {
			return filepath.SkipDir
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil || skip(name) {
			return err
		}
		stored := to + "/" + filepath.ToSlash(name)
		return m.add(ctx, path, stored, isBlockFile(stored))
	})
}

// imported copies imported history, of which there is one folder for each size of buckets.
func (m *maker) imported(ctx context.Context, from string) error {
	sizes, err := os.ReadDir(from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range sizes {
		if !e.IsDir() {
			continue
		}
		if err := m.sides(ctx, filepath.Join(from, e.Name()), importedDir+"/"+e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// isBlockFile tells the files that never change under their name: those of blocks, but for the marks of what was deleted.
//
// That they may be linked, too, rests on how Prometheus' TSDB treats a block of its own: chunks and index are written in a folder
// with another name, renamed once it is whole (tsdb/compact.go, LeveledCompactor.write), and mapped read-only from then on (tsdb/fileutil,
// PROT_READ). meta.json (tsdb/block.go, writeMetaFile), tombstones (tsdb/tombstones, WriteFile) and an index of Prometheus 2.1
// (tsdb/repair.go) are written anew as another file and renamed over the one before: a link still names that. Compaction and retention
// remove names. Side blocks are written in the same way, see series.SideWriter. Nothing opens such a file for writing.
func isBlockFile(path string) bool {
	parts := strings.Split(path, "/")
	within := func(folder string) bool { return len(folder) == blockName }
	return len(parts) > 2 && slices.ContainsFunc(parts[1:len(parts)-1], within) && parts[len(parts)-1] != "tombstones"
}

// add puts one file into the backup. One that never changes and is there already is not read again.
func (m *maker) add(ctx context.Context, path, name string, constant bool) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if old, ok := m.old[name]; ok && constant && old.Size == info.Size() {
		if stored, err := os.Stat(old.object(m.dir)); err == nil && stored.Size() == old.Size {
			m.next.Files = append(m.next.Files, old)
			m.seen(old.Size)
			return nil
		}
	}
	store := m.store
	if constant {
		store = m.link
	}
	f, err := store(ctx, path)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f.Path = name
	m.next.Files = append(m.next.Files, f)
	return nil
}

func (m *maker) seen(n int64) {
	if m.progress != nil {
		m.progress(n)
	}
}

// link makes a file that never changes an object by a hard link, or copies it where that cannot be: on another disk, say.
func (m *maker) link(ctx context.Context, path string) (f file, err error) {
	// Whether it can be linked is tried before it is read.
	part := filepath.Join(m.dir, objectsDir, "link.part")
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := os.Link(path, part); err != nil {
		return m.store(ctx, path)
	}
	defer func() {
		// A rename to another link of the same file leaves both.
		if gone := os.Remove(part); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}()
	in, err := os.Open(part)
	if err != nil {
		return f, err
	}
	defer in.Close()
	sum := sha256.New()
	f.Size, err = io.Copy(&counted{ctx: ctx, hash: sum, seen: m.seen}, in)
	if err = errors.Join(err, in.Sync()); err != nil {
		return f, err
	}
	f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	object := f.object(m.dir)
	if err = os.MkdirAll(filepath.Dir(object), 0o750); err != nil {
		return f, err
	}
	if err = os.Rename(part, object); err != nil {
		return f, err
	}
	m.linked += f.Size
	return f, syncDir(filepath.Dir(object))
}

// store copies a file to the object of its checksum.
func (m *maker) store(ctx context.Context, path string) (f file, err error) {
	in, err := os.Open(path)
	if err != nil {
		return f, err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Join(m.dir, objectsDir), "*.part")
	if err != nil {
		return f, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	sum := sha256.New()
	f.Size, err = io.Copy(io.MultiWriter(out, &counted{ctx: ctx, hash: sum, seen: m.seen}), in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return f, err
	}
	f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	object := f.object(m.dir)
	if err = os.MkdirAll(filepath.Dir(object), 0o750); err != nil {
		return f, err
	}
	if err = os.Rename(out.Name(), object); err != nil {
		return f, err
	}
	m.copied += f.Size
	return f, syncDir(filepath.Dir(object))
}

// counted hashes what is written to it, and stops when the context ends.
type counted struct {
	ctx  context.Context //nolint:containedctx // lives for one copy
	hash hash.Hash
	seen func(int64)
}

func (c *counted) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	c.seen(int64(len(p)))
	return c.hash.Write(p)
}

// sweep removes objects that the new list does not name.
func (m *maker) sweep() error {
	needed := make(map[string]bool)
	for i := range m.next.Files {
		needed[m.next.Files[i].object(m.dir)] = true
	}
	return filepath.WalkDir(filepath.Join(m.dir, objectsDir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || needed[path] {
			return err
		}
		return os.Remove(path)
	})
}
