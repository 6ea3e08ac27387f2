package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	textBytesMax = 2 << 20
	// Bits for each character. Words and placeholders lie below, generated passwords above.
	randomFromBits = 3.2
)

// The shapes that real credentials have.
var shapes = map[string]*regexp.Regexp{
	"private key":       regexp.MustCompile(`-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----`),
	"AWS access key":    regexp.MustCompile(`\b(?:AKIA|ASIA)[0-9A-Z]{16}\b`),
	"GitHub token":      regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})\b`),
	"Slack token":       regexp.MustCompile(`\bxox[abprs]-[A-Za-z0-9-]{10,}\b`),
	"Google API key":    regexp.MustCompile(`\bAIza[0-9A-Za-z_-]{35}\b`),
	"Stripe key":        regexp.MustCompile(`\b[rs]k_live_[0-9A-Za-z]{16,}\b`),
	"JSON web token":    regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}`),
	"URL with password": regexp.MustCompile(`\b[a-z][a-z0-9+.-]*://[^\s/:@<>"']+:[^\s/:@<>"']{6,}@[^\s<>"']+`),
}

var assigned = regexp.MustCompile(
	`(?i)\b[\w-]*(?:password|passwd|secret|api[_-]?key|access[_-]?key|token)[\w-]*["']?\s*[:=]\s*["']([^\s"']{12,})["']`)

// secretsOf looks in what is about to be published, and in what already is: the content agent works at the same time.
func secretsOf(sources []string) probe {
	return func(_ context.Context, seen *visitor) ([]finding, error) {
		var found []finding
		for _, source := range sources {
			inside, err := secretsInFiles(source)
			if err != nil {
				return nil, err
			}
			found = append(found, inside...)
		}
		published, err := secretsInRelease(seen.site.Bucket.Directory)
		return append(found, published...), err
	}
}

// secretsIn finds every secret in a text, by line. A finding shows where, and never the secret itself.
func secretsIn(text, where string) []finding {
	var found []finding
	for number, line := range strings.Split(text, "\n") {
		place := fmt.Sprintf("%s:%d", where, number+1)
		for kind, shape := range shapes {
			for _, match := range shape.FindAllString(line, -1) {
				found = append(found, secretFound(kind, match, place))
			}
		}
		for _, match := range assigned.FindAllStringSubmatch(line, -1) {
			if bitsPerCharacter(match[1]) >= randomFromBits {
				found = append(found, secretFound("assigned secret", match[1], place))
			}
		}
	}
	return found
}

// secretsInFiles looks into the text files of a folder, hidden ones included.
func secretsInFiles(directory string) ([]finding, error) {
	var found []finding
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		if about, err := entry.Info(); err != nil || about.Size() > textBytesMax {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Contains(content[:min(len(content), 1024)], []byte{0}) {
			inside, _ := filepath.Rel(directory, path)
			found = append(found, secretsIn(string(content), filepath.Join(filepath.Base(directory), inside))...)
		}
		return nil
	})
	return found, err
}

// secretsInRelease looks into what is served now; nothing before the first release.
func secretsInRelease(bucket string) ([]finding, error) {
	version, err := os.ReadFile(filepath.Join(bucket, "CURRENT"))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(filepath.Join(bucket, "versions", strings.TrimSpace(string(version))+".json"))
	if err != nil {
		return nil, err
	}
	var release struct {
		Objects map[string]struct {
			SHA256      string `json:"sha256"`
			ContentType string `json:"content_type"`
		} `json:"objects"`
	}
	if err := json.Unmarshal(content, &release); err != nil {
		return nil, err
	}
	var found []finding
	for path, stored := range release.Objects {
		if !strings.HasPrefix(stored.ContentType, "text/") && !strings.HasPrefix(stored.ContentType, "application/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(bucket, "objects", stored.SHA256))
		if os.IsNotExist(err) { // a release was replaced meanwhile; quality assurance reads the final one
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, secretsIn(string(text), path)...)
	}
	return found, nil
}

func secretFound(kind, secret, where string) finding {
	what := fmt.Sprintf("%s beginning %q, %d characters", kind, secret[:min(4, len(secret))], len(secret))
	return finding{"critical", "secrets", where, what}
}

func bitsPerCharacter(text string) float64 {
	counts, length := map[rune]float64{}, 0.0
	for _, letter := range text {
		counts[letter]++
		length++
	}
	bits := 0.0
	for _, count := range counts {
		bits -= count / length * math.Log2(count/length)
	}
	return bits
}
