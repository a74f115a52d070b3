"""What pools did when: recordings, what they tell, and the page that shows it."""
