package datasets_test

import (
	"bytes"
	"fmt"

	"github.com/seed-ea9a9d67/directions/datasets"
)

func Example() {
	set, err := datasets.Load("mnist10k")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.Train.Len(), set.Test.Len(), set.Train.Shape)
	for y := 7; y < 27; y += 2 { // every second pixel of the first image
		for x := 5; x < 24; x += 2 {
			fmt.Print(string(" .:#"[set.Train.Images[y*28+x]/64]))
		}
		fmt.Println("|")
	}
	fmt.Println("label:", set.Classes[set.Train.Labels[0]])
	// Output:
	// 8000 2000 [28 28 1]
	//  ::       |
	//  ..#####: |
	//        #  |
	//       :#  |
	//       #   |
	//      .:   |
	//      #    |
	//     #.    |
	//    :#     |
	//    ##     |
	// label: 7
}

func ExampleSplit_Head() {
	set, err := datasets.Load("mnist10k")
	if err != nil {
		fmt.Println(err)
		return
	}
	few, err := set.Test.Head(5)
	fmt.Println(few.Len(), len(few.Images), few.Labels, err)
	_, err = set.Test.Head(5000)
	fmt.Println(err)
	// Output:
	// 5 3920 [4 9 9 7 1] <nil>
	// cannot take the first 5000 examples: want 1 to 2000, the size of the split
}

func ExampleCatalog() {
	for _, e := range datasets.Catalog() {
		fmt.Printf("%-14s %6d + %5d images %v, %4.1f MB, %s\n",
			e.Name, e.TrainN, e.TestN, e.Shape, float64(e.Bytes())/1e6, e.Hash()[:12])
	}
	// Output:
	// mnist10k         8000 +  2000 images [28 28 1],  1.7 MB, 9f2e9f3d3be4
	// mnist           60000 + 10000 images [28 28 1], 11.6 MB, 33156129e5c7
	// fashion-mnist   60000 + 10000 images [28 28 1], 30.9 MB, 89b5fcf9bb16
	// cifar10         50000 + 10000 images [32 32 3], 170.1 MB, e394a37f2556
}

func ExampleLookup() {
	e, err := datasets.Lookup("fashion-mnist")
	fmt.Println(e.Title, err)
	_, err = datasets.Lookup("imagenet")
	fmt.Println(err)
	// Output:
	// Fashion-MNIST, Zalando's article images <nil>
	// no data set "imagenet": there are mnist10k, mnist, fashion-mnist, cifar10
}

func ExampleLoad_missing() {
	_, err := datasets.Load("mnist", "/media/data")
	fmt.Println(err)
	// Output:
	// data set "mnist": missing train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz (searched /media/data/mnist); get it with `directions data fetch mnist` (11.6 MB)
}

func ExampleVerify() {
	states, err := datasets.Verify("mnist10k")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range states {
		fmt.Println(s.File.Name, s.State)
	}
	// Output:
	// t10k-images-idx3-ubyte.gz ok
	// t10k-labels-idx1-ubyte.gz ok
}

func ExampleReadIDX() {
	file := []byte{
		0, 0, 8, 2, // unsigned bytes, two dimensions
		0, 0, 0, 2, 0, 0, 0, 3, // 2×3
		10, 20, 30, 40, 50, 60,
	}
	idx, err := datasets.ReadIDX(bytes.NewReader(file))
	fmt.Println(idx.Shape, idx.Data, err)
	_, err = datasets.ReadIDX(bytes.NewReader(file[:15]))
	fmt.Println(err)
	// Output:
	// [2 3] [10 20 30 40 50 60] <nil>
	// IDX file is truncated: it ends after 3 of the 6 bytes of its values
}
