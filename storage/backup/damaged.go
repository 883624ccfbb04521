package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// RestoreGood is Restore for a backup that is damaged itself, when there is no other: it leaves out what is damaged with what is of no use without
// it, and says what that is, a line each. A block goes as a whole, of a log all that follows the damage, and else the file.
func RestoreGood(ctx context.Context, dir, data string, progress Progress) (_ Result, leftOut []string, _ error) {
	m, err := loadManifest(dir)
	if err == nil {
		err = mustBeEmpty(data)
	}
	if err == nil {
		leftOut, err = m.leaveOut(ctx, dir, progress)
	}
	if err == nil && len(m.Files) == 0 {
		err = errors.New("nothing of the backup is good")
	}
	if err != nil {
		return Result{}, nil, fmt.Errorf("restore, nothing was changed: %w", err)
	}
	result, err := m.place(ctx, dir, data)
	return result, leftOut, err
}

// leaveOut reads every file and takes those that are not what was stored out of the manifest.
func (m *manifest) leaveOut(ctx context.Context, dir string, progress Progress) ([]string, error) {
	bad := make(map[string]bool) // by path
	for i := range m.Files {
		f := &m.Files[i]
		err := copyChecked(ctx, f, dir, io.Discard, progress)
		switch {
		case err == nil:
		case ctx.Err() != nil || errors.Is(err, fs.ErrPermission):
			return nil, err
		default: // Damaged, missing, or on a part of the disk that cannot be read.
			bad[f.Path] = true
		}
	}
	var lines []string
	kept := m.Files[:0:0]
	for _, f := range m.Files {
		unit := m.unitOf(f.Path, bad)
		if unit == "" {
			kept = append(kept, f)
			continue
		}
		if line := m.describe(dir, unit, bad); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	m.Files = kept
	return lines, nil
}

// unitOf is what has to be left out so that a file is not restored: its block, its log from some segment on, or itself; empty where it is good.
func (m *manifest) unitOf(name string, bad map[string]bool) string {
	block := blockOf(name)
	for damaged := range bad {
		switch {
		case damaged == name:
			if block != "" {
				return block
			}
			if log, ok := logOf(name); ok {
				return log
			}
			return name
		case block != "" && strings.HasPrefix(damaged, block+"/"):
			return block
		}
		log, ok := logOf(damaged)
		if mine, of := logOf(name); ok && of && mine == log && (inCheckpoint(damaged) || !inCheckpoint(name) && path.Base(name) >= path.Base(damaged)) {
			return log
		}
	}
	return ""
}

// blockOf is the folder of the block that a file is in, if it is in one.
func blockOf(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts[:len(parts)-1] {
		if i > 0 && len(part) == blockName {
			return strings.Join(parts[:i+1], "/")
		}
	}
	return ""
}

// logOf is the folder of the log that a file is a segment of, if it is: segments are numbered, and are of no use behind one that is missing.
func logOf(name string) (folder string, ok bool) {
	for _, log := range []string{"wal", "wbl", "chunks_head"} {
		if folder = path.Join(rawDir, log); strings.HasPrefix(name, folder+"/") {
			return folder, true
		}
	}
	return "", false
}

func inCheckpoint(name string) bool { return strings.Contains(name, "/checkpoint.") }

// describe says in words what is left out.
func (m *manifest) describe(dir, unit string, bad map[string]bool) string {
	if _, ok := logOf(unit + "/"); ok {
		return unit + ": values of the last hours, from the damage on"
	}
	if unit == catalogName {
		return unit + ": titles, renames, notes, acknowledgements and which problems are open; hosts and graphs are learnt anew from the polls"
	}
	meta := unit + "/meta.json"
	i := slices.IndexFunc(m.Files, func(f file) bool { return f.Path == meta })
	if i < 0 || bad[meta] {
		return unit
	}
	text, err := os.ReadFile(m.Files[i].object(filepath.Clean(dir)))
	var span struct {
		MinTime, MaxTime int64
	}
	if err != nil || json.Unmarshal(text, &span) != nil {
		return unit
	}
	const layout = "2006-01-02 15:04"
	return fmt.Sprintf("%s: from %s to %s", unit, time.UnixMilli(span.MinTime).Format(layout), time.UnixMilli(span.MaxTime).Format(layout))
}
