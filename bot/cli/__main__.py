"""`python -m bot.cli` is `optr`."""

from bot.cli import main

if __name__ == "__main__":
    main()
