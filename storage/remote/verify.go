package remote

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// VerifyQueue reads all of the queue in a folder, also beside a running master, and says what is wrong with it. A folder that is not there is right, and so is
// the end of a segment that is just being written, or that a crash cut off.
func VerifyQueue(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("verify the queue: %w", err)
	}
	var wrong []error
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), segmentSuffix) {
			continue
		}
		if err := verifySegment(ctx, filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			wrong = append(wrong, fmt.Errorf("%s: %w", e.Name(), err))
		}
	}
	return errors.Join(wrong...)
}

func verifySegment(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	table := castagnoli()
	for at := int64(0); at < info.Size(); {
		h, err := readHeader(f, at)
		if errors.Is(err, io.EOF) {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("byte %d: %w", at, err)
		}
		if at+headerBytes+h.length > info.Size() {
			return ctx.Err()
		}
		body := make([]byte, h.length)
		if _, err := f.ReadAt(body, at+headerBytes); err != nil {
			return fmt.Errorf("byte %d: %w", at, err)
		}
		if crc32.Checksum(body, table) != h.sum {
			return fmt.Errorf("byte %d: the checksum is wrong: this record and what follows in the segment is lost", at)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		at += headerBytes + h.length
	}
	return nil
}
