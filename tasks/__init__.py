"""One folder per stage; the folder's name is the stage's name."""
