// Opens a log of Hansa with Go's own transparency-log packages: what they accept, any Go auditor can read.
//
//	check_log DIR
//
// DIR holds `vkey`, `checkpoint` and `tile/`. The checkpoint's note is opened, every hash is read through tlog's authenticating reader, the
// root is computed again from the entries, every tile is computed again and compared, and inclusion and consistency proofs are made and checked.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// tilePath maps a tile to its C2SP name: tile/<L>/<N>, where Go writes tile/8/<L>/<N>.
func tilePath(t tlog.Tile) string {
	path := t.Path()
	prefix := fmt.Sprintf("tile/%d/", height)
	if !strings.HasPrefix(path, prefix) {
		log.Fatalf("unexpected tile path %s", path)
	}
	path = strings.TrimPrefix(path, prefix)
	if t.L == -1 {
		// Go calls the entries beside a tile of level 0 "data".
		path = "entries/" + strings.TrimPrefix(path, "data/")
	}
	return "tile/" + path
}

type reader struct{ dir string }

func (r reader) Height() int { return height }
func (r reader) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		b, err := os.ReadFile(filepath.Join(r.dir, tilePath(tile)))
		if err != nil {
			return nil, err
		}
		data = append(data, b)
	}
	return data, nil
}
func (r reader) SaveTiles(tiles []tlog.Tile, data [][]byte) {}

// entries reads one bundle: u16 length and bytes, again and again.
func entries(dir string, n int64, width int) [][]byte {
	path := filepath.Join(dir, tilePath(tlog.Tile{H: height, L: -1, N: n, W: width}))
	b, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	var all [][]byte
	for len(b) > 0 {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			log.Fatalf("%s is cut short", path)
		}
		size := int(binary.BigEndian.Uint16(b))
		all = append(all, b[2:2+size])
		b = b[2+size:]
	}
	if len(all) != width {
		log.Fatalf("%s has %d entries instead of %d", path, len(all), width)
	}
	return all
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: check_log DIR")
	}
	dir := os.Args[1]
	vkey, err := os.ReadFile(filepath.Join(dir, "vkey"))
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	if err != nil {
		log.Fatal(err)
	}
	message, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		log.Fatal(err)
	}
	opened, err := note.Open(message, note.VerifierList(verifier))
	if err != nil {
		log.Fatalf("checkpoint: %v", err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		log.Fatalf("checkpoint text %q", opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	rootBytes, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(rootBytes) != tlog.HashSize {
		log.Fatalf("root %q", lines[2])
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], rootBytes)
	if size == 0 {
		fmt.Println("ok: an empty log")
		return
	}

	// The tree again, from the entries alone, in Go's own store of hashes.
	var stored []tlog.Hash
	own := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			hashes[i] = stored[x]
		}
		return hashes, nil
	})
	var leaves []tlog.Hash
	for n := int64(0); n*256 < size; n++ {
		width := 256
		if size-n*256 < 256 {
			width = int(size - n*256)
		}
		for _, entry := range entries(dir, n, width) {
			hashes, err := tlog.StoredHashes(int64(len(leaves)), entry, own)
			if err != nil {
				log.Fatal(err)
			}
			stored = append(stored, hashes...)
			leaves = append(leaves, tlog.RecordHash(entry))
		}
	}
	root, err := tlog.TreeHash(size, own)
	if err != nil {
		log.Fatal(err)
	}
	if root != tree.Hash {
		log.Fatalf("the entries give root %v, the checkpoint says %v", root, tree.Hash)
	}

	// Every hash of an entry through the reader that authenticates tiles against the root.
	authenticated := tlog.TileHashReader(tree, reader{dir})
	for first := 0; first < len(leaves); first += 1024 {
		var indexes []int64
		for i := first; i < len(leaves) && i < first+1024; i++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, int64(i)))
		}
		hashes, err := authenticated.ReadHashes(indexes)
		if err != nil {
			log.Fatalf("tiles: %v", err)
		}
		for i, hash := range hashes {
			if hash != leaves[first+i] {
				log.Fatalf("entry %d does not have the hash in its tile", first+i)
			}
		}
	}

	// Every tile, as Go would have written it.
	tiles := 0
	present := map[string]string{} // a tile's path without its width -> its file
	for _, tile := range tlog.NewTiles(height, 0, size) {
		// Older versions list each partial tile in every width that it ever had; only the last belongs to this size.
		if tile.W < 1<<height && tile.N<<height+int64(tile.W) != size>>(height*tile.L) {
			continue
		}
		tiles++
		present[strings.Split(tilePath(tile), ".p/")[0]] = tilePath(tile)
		if tile.L == 0 {
			tile.L = -1
			present[strings.Split(tilePath(tile), ".p/")[0]] = tilePath(tile)
			tile.L = 0
		}
		want, err := tlog.ReadTileData(tile, own)
		if err != nil {
			log.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, tilePath(tile)))
		if err != nil {
			log.Fatal(err)
		}
		if !bytes.Equal(want, got) {
			log.Fatalf("%s differs", tilePath(tile))
		}
	}

	// Whatever else lies there must be the beginning of a tile that it became.
	err = filepath.Walk(filepath.Join(dir, "tile"), func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		file := present[strings.Split(name, ".p/")[0]]
		if file == "" {
			return fmt.Errorf("%s is no tile of this log", name)
		}
		whole, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return err
		}
		part, err := os.ReadFile(path)
		if err == nil && !bytes.HasPrefix(whole, part) {
			return fmt.Errorf("%s is not the beginning of %s", name, file)
		}
		return err
	})
	if err != nil {
		log.Fatal(err)
	}

	proofs := 0
	step := size/50 + 1
	for i := int64(0); i < size; i += step {
		proof, err := tlog.ProveRecord(size, i, authenticated)
		if err != nil {
			log.Fatal(err)
		}
		if err := tlog.CheckRecord(proof, size, tree.Hash, i, leaves[i]); err != nil {
			log.Fatalf("entry %d is not included: %v", i, err)
		}
		old, err := tlog.TreeHash(i+1, own)
		if err != nil {
			log.Fatal(err)
		}
		extension, err := tlog.ProveTree(size, i+1, authenticated)
		if err != nil {
			log.Fatal(err)
		}
		if err := tlog.CheckTree(extension, size, tree.Hash, i+1, old); err != nil {
			log.Fatalf("size %d does not extend %d: %v", size, i+1, err)
		}
		proofs += 2
	}
	fmt.Printf("ok: %s, %d entries, %d tiles, %d proofs\n", verifier.Name(), size, tiles, proofs)
}
