package ui_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

func TestTheChartLibraryIsTheOneThatTheRecipeMakes(t *testing.T) {
	body, err := os.ReadFile("assets/echarts/echarts.min.js")
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := os.ReadFile("assets/echarts/README.md")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	if !strings.Contains(string(recipe), hex.EncodeToString(sum[:])) {
		t.Errorf("the file's sum is %x: README.md names another", sum)
	}
}
