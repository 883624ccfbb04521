package storage_test

import (
	"testing"

	"corbie/storage"
	"corbie/storage/storagetest"
)

func open(tb testing.TB, dir string, opts ...storage.Options) *storage.Samples {
	tb.Helper()
	s, err := storage.Open(dir, append(opts, storage.Options{})[0])
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func TestSamplesKeepWhatAStoreMustKeep(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storagetest.Store {
		t.Helper()
		return open(t, t.TempDir())
	})
}
