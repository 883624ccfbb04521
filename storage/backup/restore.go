package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"corbie/storage/catalog"
)

// partDir is where Restore puts files until all of them are there.
const partDir = ".restore.part"

// Check reads the whole backup in a folder and says what is wrong with it.
func Check(ctx context.Context, dir string, progress Progress) (Result, error) {
	m, err := loadManifest(dir)
	if err == nil {
		err = m.check(ctx, dir, progress)
	}
	if errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w\ndelete what is damaged and make the backup again: what the master still has is then copied anew", err)
	}
	if err != nil {
		return Result{}, fmt.Errorf("check the backup: %w", err)
	}
	return m.result(), nil
}

// ErrDamaged says that a file of a backup is not what was stored.
var ErrDamaged = errors.New("damaged")

// check compares each file with its checksum; several problems are told at once.
func (m *manifest) check(ctx context.Context, dir string, progress Progress) error {
	var problems []error
	for i := range m.Files {
		f := &m.Files[i]
		if err := copyChecked(ctx, f, dir, io.Discard, progress); err != nil {
			problems = append(problems, err)
		}
		if len(problems) == 10 || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(problems...)
}

func copyChecked(ctx context.Context, f *file, dir string, to io.Writer, progress Progress) error {
	in, err := os.Open(f.object(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: the backup is %w: %s is missing", f.Path, ErrDamaged, f.object(dir))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	defer in.Close()
	sum := sha256.New()
	seen := func(n int64) {
		if progress != nil {
			progress(n)
		}
	}
	n, err := io.Copy(io.MultiWriter(to, &counted{ctx: ctx, hash: sum, seen: seen}), in)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	if n != f.Size || hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%s: %s is %w: its checksum is not the one it was stored with", f.Path, in.Name(), ErrDamaged)
	}
	return nil
}

// Restore puts a backup into a data folder, which must be empty or not exist. Nothing is written before the whole backup
// was read and found good, and nothing has its place before all of it is there.
func Restore(ctx context.Context, dir, data string, progress Progress) (Result, error) {
	m, err := loadManifest(dir)
	if err == nil {
		err = mustBeEmpty(data)
	}
	if err == nil {
		err = m.check(ctx, dir, progress)
	}
	if err != nil {
		return Result{}, fmt.Errorf("restore, nothing was changed: %w", err)
	}
	return m.place(ctx, dir, data)
}

// place puts the files of a manifest into an empty data folder.
func (m *manifest) place(ctx context.Context, dir, data string) (Result, error) {
	part := filepath.Join(data, partDir)
	if err := m.unpack(ctx, dir, part); err != nil {
		return Result{}, fmt.Errorf("restore: %w", errors.Join(err, os.RemoveAll(part)))
	}
	entries, err := os.ReadDir(part)
	if err != nil {
		return Result{}, fmt.Errorf("restore: %w", err)
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(part, e.Name()), filepath.Join(data, e.Name())); err != nil {
			return Result{}, fmt.Errorf("restore: %w", err)
		}
	}
	if err := errors.Join(os.Remove(part), syncDir(data)); err != nil {
		return Result{}, fmt.Errorf("restore: %w", err)
	}
	return m.result(), nil
}

// mustBeEmpty refuses a folder that holds anything but what an interrupted Restore left.
func mustBeEmpty(data string) error {
	entries, err := os.ReadDir(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if e.Name() != partDir && e.Name() != "lost+found" {
			names = append(names, e.Name())
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("%s is not empty, it holds %s: stop the master and move it away first", data, strings.Join(names[:min(len(names), 5)], ", "))
	}
	return nil
}

func (m *manifest) unpack(ctx context.Context, dir, part string) error {
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	for i := range m.Files {
		f := &m.Files[i]
		if err := f.unpack(ctx, dir, filepath.Join(part, filepath.FromSlash(f.Path))); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(m.Files, func(f file) bool { return f.Path == catalogName }) {
		return nil
	}
	return catalog.Check(ctx, filepath.Join(part, catalogName))
}

func (f *file) unpack(ctx context.Context, dir, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	err = copyChecked(ctx, f, dir, out, nil)
	return errors.Join(err, out.Sync(), out.Close())
}
