"""One engine a file; ``protocol`` says what each can do."""
